"""The configuration: two places, one message."""

import ast
import inspect
from pathlib import Path

import pytest

import monitor.config
from monitor.config import (
    SECTIONS,
    Cluster,
    Configuration,
    Http,
    Judgement,
    Kafka,
    KubeArmor,
    endpoint,
    load,
    variable,
)
from monitor.errors import ConfigurationError

NO_ENVIRONMENT: dict[str, str] = {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.yaml"


def problems_of(path: Path | None, environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environment)
    folder = f"{path.parent}/" if path else "\0"
    return [line.strip().replace(folder, "") for line in str(caught.value).splitlines()[1:]]


def test_with_nothing_configured_everything_has_its_default() -> None:
    assert load(None, NO_ENVIRONMENT) == Configuration()


def test_a_file_sets_keys_in_sections(file: Path) -> None:
    file.write_text(
        "cluster: {name: shop}\nkafka:\n  brokers: [a:9092, b:9092]\nkubearmor:\n  daemons: on\n"
    )
    assert load(file, NO_ENVIRONMENT) == Configuration(
        cluster=Cluster(name="shop"),
        kafka=Kafka(brokers=("a:9092", "b:9092")),
        kubearmor=KubeArmor(daemons=True),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "kafka:\n", "kafka: {}\n"])
def test_an_empty_file_or_section_changes_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert load(file, NO_ENVIRONMENT) == Configuration()


def test_the_environment_wins_over_the_file(file: Path) -> None:
    file.write_text("judgement: {grace: 5, grace_limit: 60}\n")
    environment = {"KUBEARMOR_MONITOR_JUDGEMENT__GRACE": "7.5"}
    assert load(file, environment).judgement == Judgement(grace=7.5, grace_limit=60)


def test_variables_say_lists_with_commas_and_switches_with_words() -> None:
    environment = {
        "KUBEARMOR_MONITOR_KAFKA__BROKERS": "a:1, b:2,",
        "KUBEARMOR_MONITOR_KUBEARMOR__TEXT": "Off",
        "KUBEARMOR_MONITOR_KUBEARMOR__RELAY": "",
        "KUBEARMOR_MONITOR_OUTBOX__MAX_BYTES": "65536",
        "KUBEARMOR_MONITOR_CLUSTER__NAME": "17",
    }
    configuration = load(None, environment)
    assert configuration.kafka.brokers == ("a:1", "b:2")
    assert configuration.kubearmor == KubeArmor(text=False, relay="")
    assert configuration.outbox.max_bytes == 65536
    assert configuration.cluster.name == "17"


def test_what_kubernetes_says_of_a_service_of_our_name_is_not_ours() -> None:
    environment = {
        "KUBEARMOR_MONITOR_SERVICE_HOST": "10.0.0.1",
        "KUBEARMOR_MONITOR_PORT_9469_TCP_PROTO": "tcp",
        "OTHER__KEY": "1",
    }
    assert load(None, environment) == Configuration()


def test_one_message_lists_every_problem_and_where_it_stands(file: Path) -> None:
    file.write_text(
        "cluster:\n"
        "  scope: node\n"
        "judgment:\n"
        "  grace: 3\n"
        "judgement:\n"
        "  graec: 3\n"
        "  grace: soon\n"
        "  incident_hold: 1\n"
        "  incident_hold: 2\n"
        "http: here\n"
        "jsonl: {path: out.jsonl}\n"
    )
    environment = {
        "KUBEARMOR_MONITOR_KAFKA__BROKER": "a:1",
        "KUBEARMOR_MONITOR_KAFKA__BROKERS": "a",
        "KUBEARMOR_MONITOR_OUTBOX__MAX_BYTES": "lots",
    }
    assert problems_of(file, environment) == [
        "monitor.yaml:3: the file: unknown key 'judgment'; did you mean judgement?",
        "monitor.yaml:6: judgement: unknown key 'graec'; did you mean grace?",
        "monitor.yaml:7: judgement.grace: expected `float`, got `str`",
        "monitor.yaml:9: judgement: 'incident_hold' stands here twice",
        "monitor.yaml:10: http must be a mapping of keys to values",
        (
            "KUBEARMOR_MONITOR_KAFKA__BROKER: no such setting; "
            "did you mean KUBEARMOR_MONITOR_KAFKA__BROKERS?"
        ),
        "KUBEARMOR_MONITOR_OUTBOX__MAX_BYTES: outbox.max_bytes: expected `int`, got `str`",
        "monitor.yaml:2: cluster.scope: node needs cluster.node",
        (
            "monitor.yaml:11: jsonl.path: records go to one place: "
            "leave out either this or kafka.brokers"
        ),
        "KUBEARMOR_MONITOR_KAFKA__BROKERS: kafka.brokers: expected HOST:PORT or :PORT, got 'a'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "monitor.yaml:1: not YAML: expected the node content, but found '<stream end>'"),
        ("- a\n", "monitor.yaml:1: the file must be a mapping of keys to values"),
        ("a\0b", "monitor.yaml: not YAML: "),
        (
            "log: {format: xml}",
            "monitor.yaml:1: log.format: invalid enum value 'xml'; there are json, text",
        ),
        ("judgement: {grace: -1}", "monitor.yaml:1: judgement.grace: expected `float` >= 0.0"),
        (
            "judgement: {grace: 60, grace_limit: 20}",
            "monitor.yaml:1: judgement.grace: is longer than judgement.grace_limit",
        ),
        (
            "kafka: {sasl_mechanism: PLAIN}",
            (
                "monitor.yaml:1: kafka.sasl_mechanism: "
                "needs kafka.sasl_username and kafka.sasl_password_file"
            ),
        ),
        ("kubearmor: {tls: on}", "monitor.yaml:1: kubearmor.tls: needs kubearmor.ca_file"),
        (
            "metrics: {namespaces: 1000}",
            "monitor.yaml:1: metrics.namespaces: expected `int` <= 150",
        ),
        (
            "kubernetes: {token_file: /nowhere/token}",
            "monitor.yaml:1: kubernetes.token_file: no such file: /nowhere/token",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(file: Path, text: str, problem: str) -> None:
    file.write_text(text)
    (told,) = problems_of(file, NO_ENVIRONMENT)
    assert told.startswith(problem)


def test_certificates_come_in_pairs_and_want_tls(tmp_path: Path) -> None:
    file, certificate = tmp_path / "monitor.yaml", tmp_path / "client.pem"
    certificate.touch()
    file.write_text(f"kafka:\n  certificate_file: {certificate}\n")
    assert problems_of(file, NO_ENVIRONMENT) == [
        "monitor.yaml:2: kafka.certificate_file: goes with kafka.key_file",
        "default: kafka.tls: is off although certificates are configured",
    ]


def test_a_file_that_is_not_there_is_one_problem(file: Path) -> None:
    (told,) = problems_of(file, NO_ENVIRONMENT)
    assert told.startswith("monitor.yaml: cannot be read: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9469", (None, 9469)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("relay.kubearmor.svc:32767", ("relay.kubearmor.svc", 32767)),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text: str, expected: tuple[str | None, int]) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize("text", ["", "host", "host:", "host:http", "host:65536", "host:-1"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        endpoint(text)


def test_an_empty_listener_is_no_listener() -> None:
    environment = {variable("http", "api"): ""}
    assert load(None, environment).http == Http(api="")


def test_every_key_says_what_it_means() -> None:
    tree = ast.parse(inspect.getsource(monitor.config))
    names = {section.__name__ for section in SECTIONS.values()}
    for section in tree.body:
        if isinstance(section, ast.ClassDef) and section.name in names:
            keys, documents = section.body[1::2], section.body[2::2]
            assert all(isinstance(key, ast.AnnAssign) for key in keys), section.name
            assert len(keys) == len(documents)
            for document in documents:
                assert isinstance(document, ast.Expr)
                assert isinstance(document.value, ast.Constant)


def test_the_readme_lists_every_key() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    keys = {
        f"`{name}.{key}`" for name, section in SECTIONS.items() for key in section.__struct_fields__
    }
    assert {key for key in keys if key not in readme} == set()
