// The board: reads the API beside it and shows what it says. Everything that came from a cluster is
// set as text, never as markup. The page is honest about its own sight: when the API does not
// answer it says so, keeps what was last known, dims it, and tries again at growing intervals.

const API = "api/v1/";
const REFRESH_MS = 5000;
const SETTLE_MS = 400;
const TIMEOUT_MS = 8000;
const LONGEST_RETRY_MS = 30000;
const PAGE = 25;
const SHORT_LIST = 100;
const LONG_LIST = 500;
const EVENTS_KEPT = 100;

const VERDICTS = [
  { name: "gap", label: "Gap", meaning: "should be protected, is not" },
  { name: "lost", label: "Lost", meaning: "was protected, is not any more" },
  { name: "unknown", label: "Unknown", meaning: "the monitor cannot know" },
  { name: "pending", label: "Pending", meaning: "just changed, waiting for proof" },
  { name: "covered", label: "Covered", meaning: "its policies are in force" },
  { name: "exempt", label: "Exempt", meaning: "left out on purpose" },
  { name: "unsupported", label: "Unsupported", meaning: "KubeArmor cannot protect it" },
  { name: "unpoliced", label: "Unpoliced", meaning: "no policy selects it" },
];
const LABELS = new Map([...VERDICTS.map((v) => [v.name, v.label]), ["excess", "Excess"]]);
const JUDGED = ["gap", "lost", "unknown", "pending", "covered"];
const GRADES = {
  proven: "proven by an effect that was reported",
  applied: "its rules were written",
  inferred: "inferred: no line that would prove more is to be expected",
};
const KINDS = {
  KubeArmorPolicy: "policy",
  KubeArmorClusterPolicy: "cluster policy",
  KubeArmorHostPolicy: "host policy",
  KubeArmorNetworkPolicy: "network policy",
};
const SOURCE_KINDS = {
  kubernetes: "Kubernetes API",
  text: "Daemons’ own output",
  alerts: "KubeArmor’s alerts",
  logs: "KubeArmor’s logs",
  messages: "KubeArmor’s messages",
  health: "Daemons’ health services",
};
const NATURES = {
  "over-coverage": { tone: "excess", label: "Over-coverage", meaning: "more is in force than is asked for" },
  intent: { tone: "pending", label: "Intent", meaning: "a policy may not do what was meant" },
  suspicion: { tone: "unknown", label: "Suspicion", meaning: "something may be wrong and cannot be ruled out" },
};
const TOPICS = ["gaps", "incidents", "findings", "timing", "coverage", "health"];

const known = {
  causes: {},
  kinds: {},
  found: {},
  ofHosts: {},
  nodes: [],
  at: null,
  received: 0,
  advances: false,
  verdicts: {},
  namespaces: new Set(),
  stream: "down",
  answers: null,
};
const filter = { namespace: "", verdict: "", tokens: [] };

// --- small things ------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const containersOf = (count) => plural(count, "container", "containers");
const badge = (tone, symbol) => make("span", { class: "badge", "data-tone": tone }, icon(symbol));
const pathOf = (item) => `${item.namespace}/${item.pod}/${item.container}`;
const titleOf = (code) => known.causes[code]?.title ?? code;
const titleOfKind = (code) => known.kinds[code]?.title ?? code;
const sumOf = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

function chip(verdict) {
  const symbol = LABELS.has(verdict) ? verdict : "unknown";
  const label = LABELS.get(verdict) ?? String(verdict);
  return make("span", { class: "chip", "data-tone": verdict }, badge(verdict, symbol), label);
}

// Text in which parts between backticks are commands or names: a long one gets a line of its own,
// and the punctuation that followed it is left out.
const LONG_COMMAND = 60;

function prose(text) {
  const parts = String(text).split("`");
  return parts.map((part, index) => {
    if (index % 2 === 1) return part.length < LONG_COMMAND ? make("code", { class: "inline" }, part) : command(part);
    const follows = index > 0 && parts[index - 1].length >= LONG_COMMAND;
    return follows ? part.replace(/^[.,;:]\s*/, "") : part;
  });
}

function command(text) {
  const words = text.split(" ").flatMap((word) => [make("span", {}, word), " "]);
  const line = make("span", { class: "command" }, make("code", {}, ...words));
  if (!navigator.clipboard) return line;
  const button = make("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  line.append(button);
  return line;
}

// Keeps the nodes of what did not change, so that focus, selection and scroll stay where they are.
function show(parent, items, keyOf, build) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const focusedKey = focused?.closest("[data-key]")?.dataset.key;
  const nodes = items.map((item) => {
    const key = keyOf(item);
    const signature = JSON.stringify(item);
    const kept = old.get(key);
    if (kept?.shown === signature) return kept;
    const node = build(item);
    node.dataset.key = key;
    node.shown = signature;
    if (!kept && old.size > 0) node.classList.add("fresh");
    return node;
  });
  const same = nodes.length === parent.children.length
    && nodes.every((node, index) => node === parent.children[index]);
  if (same) return;
  parent.replaceChildren(...nodes);
  if (focused && document.activeElement !== focused) {
    const successor = nodes.find((node) => node.dataset.key === focusedKey);
    (focused.isConnected ? focused : successor?.querySelector("button"))?.focus();
  }
}

function emptiness(id, count, text, good = false) {
  const note = byId(`${id}-empty`);
  note.hidden = count > 0;
  note.textContent = text;
  note.classList.toggle("good", good);
  const table = byId(`${id}-table`);
  if (table) table.hidden = count === 0;
}

// --- time: that of the monitor, not that of this browser ------------------------------------------

const instant = (value) => (typeof value === "number" ? value * 1000 : Date.parse(value));
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

function now() {
  if (known.at === null) return Date.now();
  return known.at + (known.advances ? performance.now() - known.received : 0);
}

function hearTime(at) {
  const heard = instant(at);
  known.advances = known.at !== null && heard > known.at;
  known.at = heard;
  known.received = performance.now();
}

function clock(milliseconds) {
  const day = DAY.format(milliseconds);
  const time = CLOCK.format(milliseconds);
  return day === DAY.format(now()) ? time : `${day}, ${time}`;
}

const utc = (value) => (typeof value === "number" ? new Date(value * 1000).toISOString() : value);

function duration(seconds) {
  if (!(seconds > 0)) return "0 s";
  if (seconds < 0.01) return "under 10 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

function range(interval) {
  if (!interval) return "–";
  const [least, most] = interval.map(duration);
  if (least === most || interval[0] >= 60 && interval[1] - interval[0] < 5) return least;
  return `${least} to ${most}`;
}

function since(interval, { age = true } = {}) {
  const [earliest, latest] = interval;
  const start = instant(earliest);
  const exact = earliest === latest ? utc(earliest) : `between ${utc(earliest)} and ${utc(latest)}`;
  const shown = make("time", { datetime: utc(earliest), title: exact, class: "span" }, clock(start));
  if (!age) return [shown];
  const passed = make("span", { class: "second span" }, "for ", make("span", { "data-from": start }));
  setAge(passed.lastChild);
  return [shown, passed];
}

function setAge(element) {
  element.textContent = duration((now() - Number(element.dataset.from)) / 1000);
}

// --- reading -----------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status) {
    super(`the monitor answered ${status}`);
    this.status = status;
  }
}

async function read(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const address = query.size ? `${API}${path}?${query}` : `${API}${path}`;
  const response = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  if (!response.ok) throw new Refused(response.status);
  return response.json();
}

async function section(id, load) {
  const note = document.querySelector(`#${id} > .failed`);
  try {
    await load();
    note.hidden = true;
  } catch (error) {
    note.textContent = `This part could not be read (${error.message}); shown is what was known before.`;
    note.hidden = false;
  }
}

const pace = { running: false, again: false, timer: 0, due: Infinity, failures: 0 };

// A storm of events neither puts a refresh off nor makes more than one at a time.
function refreshSoon(delay = SETTLE_MS) {
  pace.again = pace.running;
  const due = performance.now() + delay;
  if (pace.running || pace.due <= due) return;
  clearTimeout(pace.timer);
  pace.due = due;
  pace.timer = setTimeout(refresh, delay);
}

async function refresh() {
  pace.running = true;
  pace.again = false;
  pace.due = Infinity;
  let next = REFRESH_MS;
  try {
    showSummary(await read("summary"));
    setAnswers(true);
    await Promise.all([
      section("incidents", loadIncidents),
      section("uncovered", loadUncovered),
      section("containers", loadContainers),
      section("nodes", loadNodes),
      section("sources", loadSources),
      section("findings", loadFindings),
      loadDemo(),
      byId("detail").open && opened.pod ? loadDetail() : null,
    ]);
  } catch (error) {
    next = Math.min(1000 * 2 ** pace.failures, LONGEST_RETRY_MS);
    pace.failures += 1;
    setAnswers(false, error, next);
  }
  pace.running = false;
  refreshSoon(pace.again ? SETTLE_MS : next);
}

// --- connection: two facts (does the API answer, is the stream open), one sentence -----------------------

function setAnswers(answers, error = null, retry = 0) {
  known.answers = answers;
  const trouble = byId("trouble");
  document.body.classList.toggle("stale", !answers && known.at !== null);
  trouble.hidden = answers;
  if (answers) {
    pace.failures = 0;
  } else {
    const reason = error instanceof Refused ? error.message : "it does not answer";
    const shown = known.at === null
      ? "Nothing is known yet."
      : `What you see is what was known at ${clock(known.at)}.`;
    const sentence = `Connection to the monitor lost: ${reason}. ${shown}`;
    if (trouble.firstChild?.data !== sentence) trouble.replaceChildren(sentence);
    trouble.title = `tries again in ${duration(retry / 1000)}`;
  }
  showConnection();
}

function setStream(state) {
  known.stream = state;
  showConnection();
}

function showConnection() {
  const [state, text] = known.answers === false
    ? ["lost", "Connection lost"]
    : known.answers === null
      ? ["connecting", "Connecting…"]
      : known.stream === "open"
        ? ["live", `Live · ${clock(known.at)}`]
        : ["polling", `Without live events · ${clock(known.at)}`];
  const pill = byId("connection");
  pill.dataset.state = state;
  pill.textContent = text;
}

const stream = { failures: 0, source: null };

function openStream() {
  stream.source = new EventSource(`${API}stream`);
  stream.source.addEventListener("open", () => {
    stream.failures = 0;
    setStream("open");
    refreshSoon();
  });
  for (const topic of ["message", ...TOPICS]) {
    stream.source.addEventListener(topic, (event) => hear(event.data, topic));
  }
  stream.source.addEventListener("dropped", () => {
    addEvent("unknown", "This page could not keep up: some events are missing here.");
    refreshSoon();
  });
  stream.source.addEventListener("error", () => {
    stream.source.close();
    setStream("down");
    refreshSoon();
    const pause = Math.min(1000 * 2 ** stream.failures, LONGEST_RETRY_MS);
    stream.failures += 1;
    setTimeout(openStream, pause * (0.75 + Math.random() / 2));
  });
}

// --- headline ----------------------------------------------------------------------------------------------

function stateOf(verdicts) {
  const count = (name) => verdicts[name] ?? 0;
  const bare = count("gap") + count("lost");
  const total = sumOf(verdicts);
  if (bare) {
    const tone = count("gap") ? "gap" : "lost";
    return [tone, `${containersOf(bare)} ${bare === 1 ? "is" : "are"} not protected`];
  }
  if (count("unknown")) return ["unknown", `${containersOf(count("unknown"))} cannot be judged`];
  if (count("pending")) return ["pending", `${containersOf(count("pending"))} waiting for proof`];
  if (count("covered")) return ["covered", "Every container with a policy is protected"];
  if (total) return ["unpoliced", "No container has a policy that could protect it"];
  return ["waiting", "No containers have been seen yet"];
}

function sublineOf(verdicts) {
  const count = (name) => verdicts[name] ?? 0;
  const judged = JUDGED.reduce((sum, name) => sum + count(name), 0);
  const total = sumOf(verdicts);
  if (!total) return "This page fills as soon as the monitor has read the cluster.";
  if (!judged) return "Nothing here is selected by a policy that KubeArmor could enforce.";
  const parts = [`${count("covered")} covered`];
  if (count("unknown")) parts.push(`${count("unknown")} cannot be judged`);
  if (count("pending")) parts.push(`${count("pending")} waiting for proof`);
  return `${containersOf(judged)} with policies: ${parts.join(", ")}.`;
}

// Containers can all be protected where the node itself is not.
function sublineOfHosts(verdicts) {
  const bare = (verdicts.gap ?? 0) + (verdicts.lost ?? 0);
  if (!bare) return "";
  return bare === 1
    ? "One policy is not in force on a node that it should protect."
    : `${bare.toLocaleString("en")} policies of nodes are not in force.`;
}

function showSummary(summary) {
  hearTime(summary.at);
  known.verdicts = summary.verdicts ?? {};
  known.found = summary.findings ?? {};
  known.ofHosts = summary.hostPolicies ?? {};
  const [tone, sentence] = stateOf(known.verdicts);
  byId("cluster").textContent = summary.cluster ?? "";
  byId("cluster").title = summary.cluster ?? "";
  byId("state").dataset.tone = tone;
  byId("headline-icon").setAttribute("href", `#i-${tone === "waiting" ? "pending" : tone}`);
  if (byId("headline").textContent !== sentence) byId("headline").textContent = sentence;
  byId("subline").textContent = [sublineOf(known.verdicts), sublineOfHosts(known.ofHosts)].filter(Boolean).join(" ");
  document.title = `${sentence} · KubeArmor coverage`;
  const ratio = summary.coverageRatio;
  byId("ratio").hidden = ratio === null || ratio === undefined;
  byId("ratio-value").textContent = percent(ratio);
  showStrip();
  showLegend();
  emptiness("containers", byId("containers-table").tBodies[0].children.length, "No container is running.");
}

// Rounded down, so that 100 % is never said of less.
function percent(ratio) {
  return `${(Math.floor((ratio ?? 0) * 1000) / 10).toLocaleString("en")} %`;
}

function showStrip() {
  const shown = VERDICTS.filter(({ name }) => known.verdicts[name]);
  const words = shown.map(({ name, label }) => `${known.verdicts[name]} ${label.toLowerCase()}`);
  byId("strip").setAttribute("aria-label", `Containers: ${words.join(", ") || "none"}`);
  const strip = byId("strip");
  show(strip, shown.map(({ name }) => name), (name) => name, (name) =>
    make("span", { "data-tone": JUDGED.includes(name) ? name : "neutral" }));
  for (const piece of strip.children) piece.style.flexGrow = known.verdicts[piece.dataset.key];
}

function showLegend() {
  const entries = VERDICTS.map((verdict) => ({
    ...verdict,
    amount: known.verdicts[verdict.name] ?? 0,
    pressed: filter.verdict === verdict.name,
  }));
  show(byId("legend"), entries, ({ name }) => name, (entry) => {
    const button = make(
      "button",
      { type: "button", "data-tone": entry.name, "aria-pressed": String(entry.pressed) },
      badge(entry.name, entry.name),
      make("span", { class: "amount" }, entry.amount.toLocaleString("en")),
      make("span", { class: "name" }, entry.label),
      make("span", { class: "meaning" }, entry.meaning),
    );
    button.addEventListener("click", () => {
      setFilter({ verdict: entry.pressed ? "" : entry.name });
      if (!entry.pressed) reveal("containers");
    });
    return make("li", { "data-empty": String(entry.amount === 0) }, button);
  });
}

function reveal(id) {
  byId(id).scrollIntoView({ behavior: "instant" });
  byId(`${id}-title`).focus({ preventScroll: true });
}

// --- incidents ------------------------------------------------------------------------------------------------

async function loadIncidents() {
  const { items } = await read("incidents", { limit: LONG_LIST });
  const open = items.filter(({ state }) => state === "open")
    .sort((a, b) => isOnlyTold(a) - isOnlyTold(b) || b.containers - a.containers || instant(a.since[0]) - instant(b.since[0]));
  byId("incidents-count").textContent = open.length || "";
  emptiness("incidents", open.length, "No incident is open.");
  show(byId("incident-list"), open, ({ id }) => id, incidentCard);
}

const toneOfCause = (code) => (code.startsWith("daemon-") || known.causes[code]?.verdicts?.[0] === "lost" ? "lost" : "gap");

const isOnlyTold = (incident) => incident.severity === "info";
const toneOfIncident = (incident) => (isOnlyTold(incident) ? "pending" : toneOfCause(incident.cause));

function incidentCard(incident) {
  const cause = known.causes[incident.cause];
  return make(
    "article",
    { class: "card", "data-tone": toneOfIncident(incident) },
    make("header", {},
      make("h3", {}, titleOf(incident.cause)),
      make("span", { class: "when" }, "since ", since(incident.since, { age: false }), ", ",
        ageOf(incident.since))),
    make("dl", { class: "facts" },
      fact("Affects", containersOf(incident.containers)),
      fact("Where", placeOf(incident.scope)),
      incident.release ? fact("KubeArmor", incident.release) : null,
      fact("Cause", make("code", {}, incident.cause)),
      isOnlyTold(incident) ? fact("Pages", "nobody") : null,
      isOnlyTold(incident) ? fact("So far", containersOf(incident.affected)) : null),
    make("div", { class: "advice" },
      make("div", {}, make("h4", {}, "What happened"),
        make("p", {}, ...prose(cause?.what ?? "This monitor has no text for this cause."))),
      make("div", { class: "do" }, make("h4", {}, "What to do"),
        make("p", {}, ...prose(incident.remedy)))),
  );
}

// "node/NAME", "daemonset/NAME", "KIND/[NAMESPACE/]NAME", with "@RELEASE" where a release is to blame, or with the
// generation of the template that is rolled out.
function placeOf(scope) {
  const [, kind, rest] = /^([^/]*)\/([^]*)$/.exec(scope) ?? [null, "", String(scope)];
  const known = KINDS[kind];
  const [, name, version] = /^([^]*)@([^@]*)$/.exec(rest) ?? [null, rest, ""];
  if (kind === "daemonset" && version) return `DaemonSet ${name}, template ${version}`;
  return known ? `${known} ${name}` : `${kind} ${rest}`.trim();
}

function ageOf(interval) {
  const age = make("span", { "data-from": instant(interval[0]), class: "span" });
  setAge(age);
  return make("span", {}, "for ", age);
}

const fact = (name, ...value) => make("div", {}, make("dt", {}, name), make("dd", {}, ...value));

// --- containers --------------------------------------------------------------------------------------------------

function worst(container) {
  const pairs = container.policies ?? [];
  return pairs.find((pair) => pair.verdict === container.verdict && pair.cause === container.cause)
    ?? pairs.find((pair) => pair.verdict === container.verdict);
}

function nameOf(policy) {
  return policy.namespace ? `${policy.namespace}/${policy.name}` : policy.name;
}

const exposureOf = (container) => (JUDGED.includes(container.verdict) ? range(container.exposureSeconds) : "–");

const clipped = (text) => make("span", { class: "clip", title: text }, text);

function cell(label, ...children) {
  return make("td", { "data-label": label }, make("div", {}, ...children));
}

function containerCell(container) {
  const button = make("button", { type: "button", class: "link clip", "aria-haspopup": "dialog", title: container.pod },
    container.pod);
  const kind = container.kind && container.kind !== "container" ? ` (${container.kind})` : "";
  return make("td", { "data-label": "Container", class: "where" },
    make("div", {}, button,
      make("span", { class: "second clip" }, `${container.namespace} · ${container.container}${kind}`)));
}

function opening(row, open) {
  row.dataset.opens = "";
  row.addEventListener("click", () => {
    if (!String(getSelection())) open();
  });
  return row;
}

function causeCell(container) {
  if (!container.cause) return cell("Cause", make("span", { class: "none" }, "–"));
  return cell("Cause", titleOf(container.cause));
}

function uncoveredRow(container) {
  const pair = worst(container);
  const more = (container.policies ?? []).filter(({ verdict }) => verdict === container.verdict).length - 1;
  const policy = pair
    ? [clipped(nameOf(pair)),
      make("span", { class: "second span" }, KINDS[pair.kind] ?? pair.kind, more > 0 ? ` and ${more} more` : "")]
    : [make("span", { class: "none" }, "–")];
  return opening(make("tr", {},
    cell("Verdict", chip(container.verdict)),
    containerCell(container),
    cell("Policy", ...policy),
    causeCell(container),
    cell("Node", clipped(container.node)),
    cell("Since", ...(pair?.since ? since(pair.since) : [make("span", { class: "none" }, "–")])),
    make("td", { "data-label": "Exposure", class: "number" }, exposureOf(container)),
  ), () => openPod(container));
}

function policiesOf(container) {
  const expected = (container.policies ?? []).filter((pair) => pair.expected);
  if (expected.length === 0) return [make("span", { class: "none" }, "none")];
  const covered = expected.filter(({ verdict }) => verdict === "covered").length;
  const names = expected.slice(0, 2).map(nameOf).join(", ");
  const more = expected.length > 2 ? ` and ${expected.length - 2} more` : "";
  return [make("span", { class: "where" }, `${names}${more}`),
    make("span", { class: "second" }, `${covered} of ${expected.length} in force`)];
}

function containerRow(container) {
  return opening(make("tr", {},
    cell("Verdict", chip(container.verdict)),
    containerCell(container),
    cell("Policies", ...policiesOf(container)),
    causeCell(container),
    cell("Node", clipped(container.node)),
    make("td", { "data-label": "Exposure", class: "number" }, exposureOf(container)),
  ), () => openPod(container));
}

const containerKey = (container) => `${container.podUid}/${container.container}/${container.containerId}`;

async function loadUncovered() {
  const pages = await Promise.all(["gap", "lost"].map((verdict) =>
    read("containers", { verdict, limit: SHORT_LIST })));
  const items = pages.flatMap((page) => page.items);
  const all = (known.verdicts.gap ?? 0) + (known.verdicts.lost ?? 0);
  byId("uncovered-count").textContent = all > items.length ? `${items.length} of ${all}` : items.length || "";
  const unsure = known.verdicts.unknown
    ? ` ${plural(known.verdicts.unknown, "container", "containers")} cannot be judged: see the list below.`
    : "";
  const good = Boolean(known.verdicts.covered) && !unsure;
  const none = good || unsure ? "None: no container is known to miss a policy." : "There is nothing to protect yet.";
  emptiness("uncovered", items.length, `${none}${unsure}`, good);
  show(byId("uncovered-table").tBodies[0], items, containerKey, uncoveredRow);
}

async function loadContainers() {
  const page = await read("containers", {
    namespace: filter.namespace,
    verdict: filter.verdict,
    limit: PAGE,
    continue: filter.tokens.at(-1),
  });
  for (const { namespace } of page.items) known.namespaces.add(namespace);
  const filtered = filter.namespace || filter.verdict;
  const nothing = filtered ? "No container matches this filter." : "No container is running.";
  emptiness("containers", page.items.length, nothing);
  show(byId("containers-table").tBodies[0], page.items, containerKey, containerRow);
  show(byId("namespaces"), [...known.namespaces].sort(), String, (name) => make("option", { value: name }));
  const pages = filter.tokens.length > 0 || page.continue;
  byId("pager").hidden = !pages;
  byId("page").textContent = `Page ${filter.tokens.length + 1}`;
  byId("previous").disabled = filter.tokens.length === 0;
  byId("next").disabled = !page.continue;
  byId("next").dataset.token = page.continue ?? "";
  byId("filter-clear").hidden = !filtered;
}

function setFilter(change) {
  Object.assign(filter, { tokens: [] }, change);
  byId("filter-verdict").value = filter.verdict;
  if (byId("filter-namespace").value.trim() !== filter.namespace) {
    byId("filter-namespace").value = filter.namespace;
  }
  showLegend();
  section("containers", loadContainers);
}

function turnPage(tokens) {
  filter.tokens = tokens;
  section("containers", loadContainers).then(() => reveal("containers"));
}

// --- nodes and sources -------------------------------------------------------------------------------------------

async function loadNodes() {
  const { items, continue: more } = await read("nodes", { limit: LONG_LIST });
  byId("nodes-count").textContent = more ? `first ${items.length}` : items.length || "";
  emptiness("nodes", items.length, "No node has been seen yet.");
  const order = (node) => VERDICTS.findIndex(({ name }) => name === node.verdict);
  items.sort((a, b) => Number(!a.cause) - Number(!b.cause) || order(a) - order(b) || (a.node < b.node ? -1 : 1));
  known.nodes = items;
  show(byId("nodes-table").tBodies[0], items, nodeKey, nodeRow);
  showHostPolicies(known.ofHosts);
  if (byId("detail").open && opened.node) showNode();
}

const nodeKey = ({ node }) => `node/${node}/`;

function showHostPolicies(verdicts) {
  const { excess = 0, ...expected } = verdicts;
  const total = sumOf(expected);
  const others = VERDICTS.filter(({ name }) => name !== "covered" && expected[name]);
  const parts = others.map(({ name, label }) => `${expected[name]} ${label.toLowerCase()}`);
  if (total) parts.unshift(`${expected.covered ?? "none"} of ${total} in force`);
  if (excess) parts.push(`${excess} in force that should not be`);
  byId("host-policies").hidden = parts.length === 0;
  byId("host-policies").textContent = `Host and network policies, counted once per node: ${parts.join(", ")}.`;
}

function nodeRow(node) {
  const button = make("button", { type: "button", class: "link clip", "aria-haspopup": "dialog", title: node.node }, node.node);
  const row = make("tr", {},
    make("td", { "data-label": "Node", class: "where" },
      make("div", {}, button, make("span", { class: "second clip" }, daemonOf(node)))),
    cell("KubeArmor", node.release ?? make("span", { class: "none" }, "not known"),
      make("span", { class: "second" }, enforcerOf(node))),
    cell("Host policies", ...hostPoliciesOf(node)),
    cell("State", chip(node.verdict),
      node.cause ? make("span", { class: "second" }, titleOf(node.cause)) : null));
  return opening(row, () => openNode(node.node));
}

function daemonOf({ daemon }) {
  if (!daemon) return "no daemon";
  return daemon.restart ? `${daemon.pod}, ${plural(daemon.restart, "restart", "restarts")}` : daemon.pod;
}

function enforcerOf({ enforcer }) {
  return enforcer || (enforcer === "" ? "no enforcer" : "enforcer not known");
}

const HOST_POLICIES_SHOWN = 3;

// How many are in force, and by name those that should be and are not.
function hostPoliciesOf({ policies = [] }) {
  const expected = policies.filter((pair) => pair.expected);
  if (expected.length === 0) return [make("span", { class: "none" }, "none")];
  const covered = expected.filter(({ verdict }) => verdict === "covered").length;
  const bare = expected.filter(({ verdict }) => verdict === "gap" || verdict === "lost");
  const names = bare.slice(0, HOST_POLICIES_SHOWN).map((pair) =>
    make("span", { class: "missing", "data-tone": pair.verdict }, badge(pair.verdict, pair.verdict),
      clipped(nameOf(pair))));
  const more = bare.length - names.length;
  return [make("span", { class: "span" }, `${covered} of ${expected.length} in force`), ...names,
    more > 0 ? make("span", { class: "second" }, `and ${more} more`) : null];
}

async function loadSources() {
  const { items } = await read("sources", { limit: LONG_LIST });
  const groups = new Map();
  for (const source of items) {
    const kind = String(source.name).split("/")[0];
    groups.set(kind, [...(groups.get(kind) ?? []), source]);
  }
  const rows = [...groups].map(([kind, sources]) => ({ kind, sources }));
  const up = items.filter(({ state }) => state === "up").length;
  byId("sources-count").textContent = items.length ? `${up} of ${items.length} up` : "";
  emptiness("sources", rows.length, "No source has been opened yet.");
  show(byId("source-list"), rows, ({ kind }) => kind, sourceRow);
}

function blindSince(source) {
  const open = (source.outages ?? []).find(([, end]) => end === null);
  return open ? open[0] : source.since;
}

function blindLine(source) {
  const from = blindSince(source);
  const place = String(source.name).split("/").slice(1).join("/");
  const reason = source.reason ? ` (${source.reason})` : "";
  return make("span", { class: "blind" }, `${place}: blind since `,
    ...(from === undefined ? ["the beginning"] : since([from, from], { age: false })), reason);
}

function sourceRow({ kind, sources }) {
  const down = sources.filter(({ state }) => state !== "up");
  const past = sources.reduce((sum, { outages = [] }) => sum + outages.filter(([, end]) => end !== null).length, 0);
  const tone = down.length ? "down" : "up";
  const standing = sources.length === 1
    ? (down.length ? "down" : "up")
    : `${sources.length - down.length} of ${sources.length} up`;
  return make("li", { "data-tone": tone },
    badge(tone, down.length ? "lost" : "covered"),
    make("span", {}, SOURCE_KINDS[kind] ?? kind),
    make("span", { class: "standing" }, standing),
    ...down.slice(0, 8).map(blindLine),
    down.length > 8 ? make("span", { class: "blind" }, `and ${down.length - 8} more`) : null,
    past ? make("span", { class: "past" }, `${plural(past, "earlier outage", "earlier outages")}, over`) : null);
}

// --- findings --------------------------------------------------------------------------------------------------------

const ROWS_SHOWN = 4;

async function loadFindings() {
  const { items, continue: more } = await read("findings", { limit: LONG_LIST });
  const total = sumOf(known.found);
  byId("findings-count").textContent = more ? `${items.length} of ${Math.max(total, items.length)}` : items.length || "";
  byId("findings-cut").hidden = !more;
  byId("findings-cut").textContent = `Shown are the first ${items.length}. All by kind: ${counted(known.found)}.`;
  emptiness("findings", items.length,
    "None. Here would be listed what is in force and should not be, policies that may not do what was meant, and what the evidence does not rule out.");
  const cards = findingCards(items);
  const list = byId("finding-list");
  show(list, cards.map(({ code, kind, remedy }) => ({ code, kind, remedy })), cardKey, findingCard);
  cards.forEach(({ findings }, index) => fillCard(list.children[index], findings));
}

const counted = (counts) => Object.entries(counts).map(([code, count]) => `${count} ${code}`).join(", ");

// One card for what has one explanation and one remedy, which can differ between releases.
function findingCards(findings) {
  const cards = new Map();
  for (const finding of findings) {
    const key = cardKey(finding);
    if (!cards.has(key)) cards.set(key, { code: finding.code, kind: finding.kind, remedy: finding.remedy, findings: [] });
    cards.get(key).findings.push(finding);
  }
  const natures = Object.keys(NATURES);
  const codes = Object.keys(known.kinds);
  return [...cards.values()].sort((a, b) =>
    natures.indexOf(a.kind) - natures.indexOf(b.kind) || codes.indexOf(a.code) - codes.indexOf(b.code));
}

const cardKey = ({ code, remedy }) => `${code} ${remedy}`;

function findingCard({ code, kind, remedy }) {
  const nature = NATURES[kind] ?? { tone: "neutral", label: kind, meaning: "" };
  const rows = make("ul", { class: "found" });
  const all = make("button", { type: "button", class: "quiet", "aria-expanded": "false" });
  all.addEventListener("click", () => {
    const expanded = all.getAttribute("aria-expanded") !== "true";
    all.setAttribute("aria-expanded", String(expanded));
    rows.toggleAttribute("data-all", expanded);
    nameButton(all, rows);
  });
  return make("article", { class: "card finding", "data-tone": nature.tone },
    make("header", {}, make("h3", {}, titleOfKind(code)),
      make("span", { class: "when" }, make("strong", {}, nature.label), nature.meaning && `: ${nature.meaning}`)),
    rows, all,
    make("div", { class: "advice" },
      make("div", {}, make("h4", {}, "What it means"),
        make("p", {}, ...prose(known.kinds[code]?.what ?? "This monitor has no text for this finding."))),
      make("div", { class: "do" }, make("h4", {}, "What to do"), make("p", {}, ...prose(remedy)))));
}

// The rows change where the card stays: whoever reads its text or has opened its list keeps both.
function fillCard(card, findings) {
  const rows = card.querySelector(".found");
  const all = card.querySelector("button[aria-expanded]");
  show(rows, findings, ({ id }) => id, findingRow);
  nameButton(all, rows);
}

function nameButton(all, rows) {
  const count = rows.children.length;
  const expanded = rows.hasAttribute("data-all");
  all.hidden = count <= ROWS_SHOWN;
  all.textContent = expanded ? `Show only ${ROWS_SHOWN}` : `Show all ${count.toLocaleString("en")}`;
}

function findingRow(finding) {
  return make("li", {},
    make("strong", { class: "where" }, finding.subject),
    make("span", { class: "when" }, "since ", since(finding.since, { age: false }), ", ", ageOf(finding.since)),
    make("p", {}, ...prose(finding.detail)));
}

// --- events --------------------------------------------------------------------------------------------------------

const TELL = {
  gaps: (gap) => {
    const what = { open: "Not protected", closed: "Protected again", withdrawn: "Withdrawn, it was protected" };
    return [gap.state === "open" ? gap.verdict ?? "gap" : "covered",
      `${what[gap.state] ?? gap.state}: ${pathOf(gap)} (${titleOf(gap.cause)})`];
  },
  incidents: (incident) => [incident.state === "open" ? toneOfIncident(incident) : "covered",
    `Incident ${incident.state}: ${titleOf(incident.cause)}, ${containersOf(incident.containers)}`],
  findings: (finding) => [finding.state === "closed" ? "covered" : NATURES[finding.kind]?.tone ?? "unknown",
    `${finding.state === "closed" ? "No longer found" : "Found"}: ${titleOfKind(finding.code)} (${finding.subject})`],
  timing: (timing) => (timing.policy
    ? ["covered", `Policy ${nameOf(timing.policy)} known ${timing.node ? `on ${timing.node}` : "on every node"} after ${range(timing.propagationSeconds)}`]
    : ["covered", timedContainer(timing)]),
  coverage: (coverage) => (coverage.verdict === "unknown"
    ? ["unknown", `Cannot be judged: ${pathOf(coverage)} (${titleOf(coverage.cause)})`]
    : null),
  health: (health) => [health.state === "down" ? "gap" : "covered",
    `Source ${health.name} is ${health.state}${health.reason ? ` (${health.reason})` : ""}`],
};

function timedContainer(timing) {
  const delay = timing.protectionDelaySeconds ?? timing.recoveryDelaySeconds;
  const how = timing.protectionDelaySeconds ? "Protected" : "Protected anew";
  return `${how}${delay ? ` after ${range(delay)}` : ""}: ${pathOf(timing)}`;
}

function hear(text, name) {
  let record;
  try {
    record = JSON.parse(text);
  } catch {
    return;
  }
  refreshSoon();
  const topic = name === "message" ? String(record.type).split(".").at(-2) : name;
  if (!(topic in TELL) || !record.data) return;
  let told;
  try {
    told = TELL[topic](record.data);
  } catch {
    told = ["unknown", `${topic}: ${record.subject ?? ""}`];
  }
  if (told) addEvent(told[0], told[1], timeOf(record.data));
}

// When it was so: an event carries the time of its facts, not that of its telling.
function timeOf({ until, applied, known: learned, since: begun }) {
  const interval = until ?? applied ?? learned;
  if (interval) return instant(interval[1]);
  if (begun === undefined) return now();
  return instant(Array.isArray(begun) ? begun[0] : begun);
}

function addEvent(verdict, sentence, at = now()) {
  const list = byId("event-list");
  byId("events-empty").hidden = true;
  list.prepend(make("li", { class: "fresh" },
    make("time", {}, clock(at)), badge(verdict, LABELS.has(verdict) ? verdict : "unknown"),
    make("span", { class: "what" }, sentence)));
  while (list.children.length > EVENTS_KEPT) list.lastChild.remove();
}

// --- detail ----------------------------------------------------------------------------------------------------------

const opened = { namespace: "", pod: "", node: "", from: null };

function openPod({ namespace, pod, podUid, container }) {
  Object.assign(opened, { namespace, pod, node: "", from: `${podUid}/${container}/` });
  openDetail(`${namespace}/${pod}`);
  loadDetail();
}

function openNode(node) {
  Object.assign(opened, { namespace: "", pod: "", node, from: nodeKey({ node }) });
  openDetail(node);
  showNode();
}

function openDetail(title) {
  byId("detail-title").textContent = title;
  byId("detail-body").replaceChildren(make("p", { class: "none" }, "Reading…"));
  byId("detail").showModal();
  byId("detail-title").focus();
}

async function loadDetail() {
  const { namespace, pod } = opened;
  const body = byId("detail-body");
  try {
    const path = `explain/${encodeURIComponent(namespace)}/${encodeURIComponent(pod)}`;
    const explanation = await read(path);
    if (namespace !== opened.namespace || pod !== opened.pod) return;
    const parts = explanation.containers ?? explanation.items ?? [];
    show(body, parts, containerKey, explainedContainer);
    if (parts.length === 0) body.replaceChildren(make("p", {}, "No container of this Pod is running."));
  } catch (error) {
    const gone = error.status === 404;
    body.replaceChildren(make("p", { class: gone ? "" : "failed" }, gone
      ? "The monitor knows no running container of this Pod any more."
      : `This could not be read (${error.message}).`));
  }
}

function explainedContainer(container) {
  const pairs = container.policies ?? [];
  return make("section", {},
    make("h3", {}, container.container, chip(container.verdict)),
    make("dl", { class: "facts" },
      fact("Node", container.node),
      fact("Exposed for", range(container.exposureSeconds)),
      fact("Id", make("code", { title: container.containerId }, String(container.containerId).slice(0, 12)))),
    pairs.length ? pairs.map(explainedPair) : make("p", { class: "none" }, "No policy selects this container."));
}

function explainedPair(pair) {
  return make("div", { class: "pair" },
    make("header", {}, make("strong", {}, nameOf(pair)),
      make("span", { class: "none" }, `${KINDS[pair.kind] ?? pair.kind}, generation ${pair.generation}`),
      chip(pair.verdict)),
    make("dl", { class: "facts" },
      fact("Expected here", pair.expected ? "yes" : "no"),
      fact("This release attaches it", pair.predicted === null || pair.predicted === undefined ? "open" : pair.predicted ? "yes" : "no"),
      pair.grade ? fact("Evidence", GRADES[pair.grade] ?? pair.grade) : null,
      pair.since ? fact("Since", ...since(pair.since, { age: false })) : null,
      pair.delaySeconds ? fact("Took", range(pair.delaySeconds)) : null,
      pair.rulesWithoutKernelForm ? fact("Rules that cannot be enforced", String(pair.rulesWithoutKernelForm)) : null),
    ...(pair.cause ? explainedCause(pair.cause, pair.reasons) : []));
}

// What happened, what shows that it did, what else would fit, and what to do.
function explainedCause(code, reasons = []) {
  const cause = known.causes[code];
  const own = reasons.find((reason) => reason.cause === code);
  const others = reasons.filter((reason) => reason !== own);
  return [
    make("p", {}, make("strong", {}, titleOf(code)), ". ", ...prose(cause?.what ?? "")),
    own ? make("p", {}, make("strong", {}, "What shows it: "), make("span", { class: "shown" }, ...prose(own.evidence))) : null,
    cause?.remedy ? make("p", {}, make("strong", {}, "What to do: "), ...prose(cause.remedy)) : null,
    others.length ? make("p", {}, make("strong", {}, "What else would fit, less likely:")) : null,
    others.length ? make("ul", { class: "others" }, others.map((reason) =>
      make("li", {}, titleOf(reason.cause), ": ", make("span", { class: "shown" }, ...prose(reason.evidence))))) : null,
  ];
}

function showNode() {
  const node = known.nodes.find((candidate) => candidate.node === opened.node);
  const body = byId("detail-body");
  if (node) show(body, [node], nodeKey, explainedNode);
  else body.replaceChildren(make("p", {}, "The monitor knows no such node any more."));
}

function explainedNode(node) {
  const pairs = node.policies ?? [];
  const ofPolicy = pairs.some((pair) => pair.cause === node.cause && pair.verdict === node.verdict);
  return make("section", {},
    make("h3", {}, "Node", chip(node.verdict)),
    make("dl", { class: "facts" },
      fact("Daemon", node.daemon?.pod ?? "none"),
      node.daemon ? fact("Restarts", String(node.daemon.restart)) : null,
      fact("KubeArmor", node.release ?? "not known"),
      fact("Enforcer", enforcerOf(node)),
      node.clockOffsetSeconds ? fact("Clock", `${node.clockOffsetSeconds.map((s) => s.toFixed(3)).join(" to ")} s off`) : null),
    ...(node.cause && !ofPolicy ? explainedCause(node.cause) : []),
    pairs.length ? pairs.map(explainedPair) : make("p", { class: "none" }, "No host or network policy selects this node."));
}

// --- demonstration ------------------------------------------------------------------------------------------------------

const demo = { present: true, timer: 0 };

async function loadDemo() {
  if (!demo.present) return;
  try {
    showDemo(await read("demo"));
  } catch (error) {
    if (error.status === 404) demo.present = false;
    byId("demo").hidden = true;
  }
}

function showDemo({ state, text }) {
  byId("demo").hidden = false;
  byId("demo-text").textContent = text ?? "";
  byId("demo-continue").hidden = state !== "holding";
  byId("demo-continue").disabled = false;
}

async function goOn() {
  byId("demo-continue").disabled = true;
  try {
    const response = await fetch(`${API}demo/continue`, { method: "POST", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Refused(response.status);
  } catch (error) {
    byId("demo-text").textContent = `The recording could not be continued (${error.message}).`;
    byId("demo-continue").disabled = false;
  }
  refreshSoon();
}

// --- theme -----------------------------------------------------------------------------------------------------------------

const THEMES = ["automatic", "light", "dark"];

function setTheme(theme) {
  if (theme === "automatic") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  localStorage.setItem("theme", theme);
}

function restoreTheme() {
  const stored = localStorage.getItem("theme");
  setTheme(THEMES.includes(stored) ? stored : "automatic");
}

// --- start --------------------------------------------------------------------------------------------------------------------

function listen() {
  byId("theme").addEventListener("click", () => {
    const current = document.documentElement.dataset.theme ?? "automatic";
    setTheme(THEMES[(THEMES.indexOf(current) + 1) % THEMES.length]);
  });
  byId("demo-continue").addEventListener("click", goOn);
  byId("filter-verdict").append(make("option", { value: "" }, "all"),
    ...VERDICTS.map(({ name, label }) => make("option", { value: name }, label)));
  byId("filter-verdict").addEventListener("change", (event) => setFilter({ verdict: event.target.value }));
  byId("filter-namespace").addEventListener("input", (event) => setFilter({ namespace: event.target.value.trim() }));
  byId("filter-clear").addEventListener("click", () => setFilter({ namespace: "", verdict: "" }));
  byId("previous").addEventListener("click", () => turnPage(filter.tokens.slice(0, -1)));
  byId("next").addEventListener("click", (event) => turnPage([...filter.tokens, event.target.dataset.token]));
  const detail = byId("detail");
  byId("detail-close").addEventListener("click", () => detail.close());
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
  detail.addEventListener("close", () => {
    const rows = [...document.querySelectorAll("tr[data-key]")];
    const row = rows.find((candidate) => candidate.dataset.key.startsWith(opened.from));
    row?.querySelector("button")?.focus();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshSoon(); });
  setInterval(() => document.querySelectorAll("[data-from]").forEach(setAge), 1000);
}

// Without its texts the page still shows codes.
async function readTexts(file) {
  try {
    return await (await fetch(file, { signal: AbortSignal.timeout(TIMEOUT_MS) })).json();
  } catch {
    return {};
  }
}

async function start() {
  restoreTheme();
  listen();
  [known.causes, known.kinds] = await Promise.all(["causes.json", "findings.json"].map(readTexts));
  refreshSoon(0);
  openStream();
}

start();
