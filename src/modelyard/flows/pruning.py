"""Remove runs, and what no run that is left has made or used."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from modelyard.flows.records import Records
from modelyard.machine.home import measure_tree, read_record, remove_tree


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed; `freed` is in bytes."""

    runs: tuple[str, ...]
    artifacts: int
    freed: int


def prune_runs(records: Records, *, keep: int) -> Pruned:
    """Keep the newest runs, and of results, artifacts and sources those that they name, or that came last of a step."""
    ids = records.ids()
    gone = ids[: max(0, len(ids) - keep)]
    freed = sum(measure_tree(records.root / id) for id in gone)
    for id in gone:
        remove_tree(records.root / id)
    removed, more = _remove_unused(records, _used_keys(records, ids[len(gone) :]))
    return Pruned(runs=tuple(gone), artifacts=removed, freed=freed + more)


def forget(records: Records, steps: Collection[str]) -> int:
    """Forget what came of steps and their trials; return how many results that were."""
    paths = [path for path in records.root.glob("steps/*.json") if path.name != "last.json"]
    gone = [path for path in paths if (read_record(path) or {}).get("step") in steps]
    for path in gone:
        path.unlink()
        (records.root / "searches" / f"{path.stem}.journal").unlink(missing_ok=True)
    return len(gone)


def _used_keys(records: Records, ids: Iterable[str]) -> set[str]:
    keys = set((read_record(records.root / "steps" / "last.json") or {}).values())
    for id in ids:
        keys |= {step["key"] for step in records.read_run(id)["steps"].values()}
        keys |= {trial["key"] for trials in records.read_trials(id).values() for trial in trials}
    for key in list(keys):
        result = read_record(records.root / "steps" / f"{key}.json") or {}
        keys |= {trial["key"] for trial in result.get("trials", ())}
    return keys


def _remove_unused(records: Records, keys: Collection[str]) -> tuple[int, int]:
    digests: set[str] = set()
    sources: set[str] = set()
    for path in records.root.glob("steps/*.json"):
        if path.name == "last.json":
            continue
        if path.stem not in keys:
            path.unlink()
            (records.root / "searches" / f"{path.stem}.journal").unlink(missing_ok=True)
            continue
        result = read_record(path) or {"outputs": {}, "basis": {"source": {"files": {}}}}
        digests |= {about["digest"] for about in result["outputs"].values()}
        sources |= set(result["basis"]["source"]["files"].values())
    unused = [path for path in records.root.glob("artifacts/*") if path.name not in digests]
    freed = sum(measure_tree(path) if path.is_dir() else path.stat().st_size for path in unused)
    for path in [*unused, *(path for path in records.root.glob("sources/*") if path.name not in sources)]:
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    return len(unused), freed
