from dataclasses import replace

import pytest

from modelyard.flows.artifacts import ArtifactStore
from modelyard.flows.config import read_config
from modelyard.flows.keys import StepSource, make_basis
from modelyard.flows.plan import Planner
from modelyard.flows.pruning import forget, prune_runs
from modelyard.flows.records import Records, RunRecord

SOURCE = StepSource(files={"net/train.py": "1"}, requirements="r")


class Yard:
    """A flow whose steps have run, and a planner of it as it is now."""

    def __init__(self, flow, texts=None):
        self.flow = flow
        self.records = Records(flow.runs)
        self.sources = dict.fromkeys(flow.steps, SOURCE)
        self.texts = texts or {}
        self.digests = {"table": "t1"}

    def planner(self, *, sets=(), forced=()):
        return Planner(
            flow=self.flow,
            config=read_config(self.flow, sets=sets),
            records=self.records,
            sources=self.sources,
            digest_of=lambda step, name: self.digests[name],
            text_of=lambda path, digest: self.texts.get(digest),
            forced=forced,
        )

    def run(self, name, outputs):
        """Keep a result of a step, with outputs of these contents."""
        planner = self.planner()
        results = {each: self.records.last_result(each) for each in self.flow.steps[name].needs}
        basis = planner.decide(self.flow.steps[name], results).basis
        made = {}
        for output, text in outputs.items():
            path = self.flow.project / self.flow.steps[name].outputs[output]
            path.write_text(text)
            made[output] = self.records.artifacts.keep(path).about
        self.records.keep_result(basis.key, {"step": name, "basis": basis.about, "outputs": made, "trials": []})
        self.records.note_last(name, basis.key)
        return basis.key

    def plan(self, **options):
        return {each.step.name: (each.action, each.why) for each in self.planner(**options).plan()}


@pytest.fixture
def yard(make_flow):
    made = Yard(make_flow())
    for name, outputs in (("prep", {"index": "i"}), ("train", {"model": "m"}), ("count", {})):
        made.run(name, outputs)
    return made


def test_at_first_everything_runs(make_flow):
    assert set(Yard(make_flow()).plan().values()) == {("run", ("it has not run yet",))}


def test_what_has_not_changed_is_reused(yard):
    assert set(yard.plan().values()) == {("reuse", ())}


def test_a_parameter_that_no_step_reads_changes_nothing(yard):
    assert set(yard.plan(sets=["data.name=dogs"]).values()) == {("reuse", ())}


def test_a_parameter_is_named_with_both_values(yard):
    assert yard.plan(sets=["train.epochs=9"])["train"] == ("run", ("train.epochs was 3, and is 9",))


def test_what_comes_after_a_step_that_runs_depends_on_what_that_makes(yard):
    yard.digests["table"] = "t2"
    assert yard.plan() == {
        "prep": ("run", ("its input table has changed",)),
        "train": ("depends", ("where prep makes something else",)),
        "count": ("depends", ("where prep makes something else",)),
    }
    assert yard.plan(sets=["train.epochs=9"])["train"] == ("run", ("train.epochs was 3, and is 9",))


def test_the_line_of_a_source_file_is_named(yard):
    yard.texts = {"1": "a\nb\nc\n", "2": "a\nB\nc\n"}
    yard.sources["train"] = StepSource(files={"net/train.py": "2", "net/new.py": "3"}, requirements="other")
    assert yard.plan()["train"] == (
        "run",
        ("net/new.py is new", "net/train.py:2 has changed", "its requirements have changed"),
    )


def test_another_command_is_said(yard):
    steps = {**yard.flow.steps, "count": replace(yard.flow.steps["count"], command="wc -c {inputs.index}")}
    yard.flow = replace(yard.flow, steps=steps)
    assert yard.plan()["count"] == ("run", ("it was wc -l {inputs.index}, and is wc -c {inputs.index}",))


def test_an_artifact_that_is_gone_is_made_again(yard):
    digest = yard.records.last_result("train")["outputs"]["model"]["digest"]
    yard.records.artifacts.path(digest).unlink()
    assert yard.plan()["train"] == ("run", ("what it made is gone",))


def test_force_and_no_cache(yard):
    assert yard.plan(forced=["count"])["count"] == ("run", ("it is forced",))
    steps = {**yard.flow.steps, "count": replace(yard.flow.steps["count"], cache=False)}
    yard.flow = replace(yard.flow, steps=steps)
    assert yard.plan()["count"][0] == "run"


def test_what_is_forgotten_runs_again(yard):
    assert forget(yard.records, ["train"]) == 1
    assert yard.plan()["train"] == ("run", ("it has not run yet",))
    assert yard.plan()["count"] == ("reuse", ())


def test_a_key_is_that_of_contents_and_not_of_names(make_flow):
    flow = make_flow()
    config = read_config(flow)
    one, other = (make_basis(flow.steps["prep"], config, SOURCE, {"table": digest}) for digest in ("a", "b"))
    assert one.key == make_basis(flow.steps["prep"], config, SOURCE, {"table": "a"}).key
    assert one.key != other.key


class TestPruning:
    def begin(self, yard, keys):
        steps = {name: {"state": "succeeded", "key": key, "needs": []} for name, key in keys.items()}
        record = RunRecord.begin(yard.records, {"project": "p"}, steps)
        record.end("succeeded")
        return record.id

    def test_what_only_runs_that_go_have_made_goes_with_them(self, yard):
        old = self.begin(yard, {"train": yard.run("train", {"model": "old"})})
        yard.flow = replace(yard.flow, steps={**yard.flow.steps, "train": replace(yard.flow.steps["train"], params=())})
        new = self.begin(yard, {"train": yard.run("train", {"model": "new"})})
        ids = yard.records.ids()
        assert set(ids) == {old, new}
        pruned = prune_runs(yard.records, keep=1)
        assert pruned.runs == (ids[0],)
        kept = {path.read_text() for path in yard.records.artifacts.root.iterdir()}
        assert "new" in kept
        assert yard.plan()["train"] == ("reuse", ())


class TestArtifacts:
    def test_the_same_content_is_kept_once_and_can_not_be_written_to(self, tmp_path):
        store = ArtifactStore(tmp_path / "artifacts")
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x").write_text("1")
        one, other = (store.keep(tmp_path / name) for name in ("a", "b"))
        assert (one.digest, one.size, one.kind) == (other.digest, 1, "folder")
        assert len(list(store.root.iterdir())) == 1
        assert (store.path(one.digest) / "x").stat().st_mode & 0o222 == 0

    def test_names_and_the_executable_bit_count(self, tmp_path):
        store, digests = ArtifactStore(tmp_path / "artifacts"), set()
        for name, mode in (("x", 0o644), ("y", 0o644), ("x", 0o755)):
            folder = tmp_path / f"{name}{mode}"
            folder.mkdir()
            (folder / name).write_text("1")
            (folder / name).chmod(mode)
            digests.add(store.keep(folder).digest)
        assert len(digests) == 3

    def test_a_link_becomes_what_it_leads_to(self, tmp_path):
        (tmp_path / "data").write_text("1")
        (tmp_path / "made").symlink_to(tmp_path / "data")
        store = ArtifactStore(tmp_path / "artifacts")
        kept = store.path(store.keep(tmp_path / "made").digest)
        assert (kept.is_symlink(), kept.read_text(), (tmp_path / "data").exists()) == (False, "1", True)
