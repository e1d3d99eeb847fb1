"""The judgement: pure, without IO, clock or event loop.

`coverage` is the way in and out. Behind it, from what is told to what is said:

- `world` keeps the cluster's objects (`policy_history` also those that are gone), `nodes` what each
  daemon's output told (`evidence`, folded line by line; `overheard` where only messages tell;
  `health` where it had to be asked), `effects` what alerts and logs report;
- `semantics` is the table of what each release does; `selector`, `believed` and `prediction` go by
  it, `expectation` by the newest, `intent` by what a manifest's reader would think;
- `question`, `attachment`, `proof`, `silence` and `judgement` answer for one pair, `judge` for all
  of a container (`verdicts`), `host_policies` for those of a node; `standing` tells at once what
  simply stands, `views` what holds for all of a node;
- `bench` keeps what was judged and says what changed: states and timings itself, gaps and incidents
  through the ledger (`gaps`, `incidents`, `joining`, `rollouts`), findings through `findings`;
- `reporting` and `explanation` read all of it and change nothing.
"""
