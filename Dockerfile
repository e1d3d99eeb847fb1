# Build: one virtual environment with the locked dependencies and the wheel, nothing else.
FROM python:3.13-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/build.lock requirements/run.lock requirements/
RUN python -m venv /opt/build
RUN /opt/build/bin/python -m pip install --require-hashes --only-binary :all: --requirement requirements/build.lock
RUN python -m venv --without-pip /opt/kubearmor-monitor
RUN /opt/build/bin/python -m pip --python /opt/kubearmor-monitor/bin/python install --require-hashes --only-binary :all: --requirement requirements/run.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY monitor/ monitor/
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .
RUN /opt/build/bin/python -m pip --python /opt/kubearmor-monitor/bin/python install --no-deps --no-index --find-links dist kubearmor-monitor

FROM python:3.13-slim
ENV PATH=/opt/kubearmor-monitor/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/kubearmor-monitor /opt/kubearmor-monitor
WORKDIR /var/lib/kubearmor-monitor
USER 65532:65532
EXPOSE 9469
ENTRYPOINT ["kubearmor-monitor"]
CMD ["run"]
