"""What every engine must do, tested through the Protocols alone."""

import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable

import pytest

from modelyard.commands.sizing import build_within
from modelyard.engines.protocols import ContainerSpec, Mount, PublishedPort, discard
from modelyard.errors import BuildError, EngineError, InputError, PortTakenError
from modelyard.images.bill import NO_PACKAGE
from modelyard.runtime.scratch import PREFIX, scratch_folder

pytestmark = pytest.mark.integration

TRAIN = "import six\ndef train(msg): return {'six': six.PY3, 'payload': msg.payload}\n"
SERVE = """\
trap 'echo goodbye; kill %1; exit 0' TERM
echo "listening"
python3 -m http.server "$PORT" --bind "$HOST" > /dev/null 2>&1 &
wait
"""


def wait_for(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_running(command: str) -> bool:
    """Whether a process with this command line runs on this machine, in a container or not."""
    return (
        command in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    )


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TestBuilding:
    def test_build_installs_and_run_trains(self, engine, stage_train):
        lines: list[str] = []
        image = engine.build(stage_train(TRAIN), tag="demo/m", on_output=lines.append)
        assert not image.reused
        assert image.tags == ("demo/m:latest",)
        assert (image.kind, image.name) == ("train", "demo/m")
        assert image.size > 0
        assert image.labels["io.modelyard.kind"] == "train"
        assert image.environment["GREETING"] == "hello"
        assert any("six" in line for line in lines)
        output: list[str] = []
        environment = {"TRAIN": "1", "PAYLOAD": '{"a": 1}'}
        assert engine.run(ContainerSpec("demo/m", environment=environment), on_output=output.append) == 0
        assert json.loads(output[-1]) == {"six": True, "payload": {"a": 1}}

    def test_unchanged_build_reuses_the_image(self, engine, stage_train):
        first = engine.build(stage_train(TRAIN), tag="one")
        again = engine.build(stage_train(TRAIN, folder="again"), tag="two")
        assert again.reused
        assert again.id == first.id
        assert again.tags == ("one:latest", "two:latest")

    def test_change_of_one_line_installs_nothing(self, engine, stage_train):
        first = engine.build(stage_train(TRAIN), tag="one")
        lines: list[str] = []
        context = stage_train(TRAIN.replace("six.PY3", "'changed'"))
        began = time.monotonic()
        changed = engine.build(context, tag="one", on_output=lines.append)
        assert time.monotonic() - began < 1.0
        assert changed.id != first.id
        assert not any("Installed" in line for line in lines)
        output: list[str] = []
        assert engine.run(ContainerSpec("one", environment={"TRAIN": "1"}), on_output=output.append) == 0
        assert json.loads(output[-1])["six"] == "changed"

    def test_equal_requirements_are_installed_once(self, engine, stage_train):
        engine.build(stage_train(TRAIN), tag="one")
        lines: list[str] = []
        other = stage_train("def train(msg): return 2", requirements="# the same\nsix\n", **{"extra.txt": "x"})
        engine.build(other, tag="two", on_output=lines.append)
        assert not any("Installed" in line for line in lines)

    def test_parallel_builds_of_one_context_make_it_once(self, engine, stage_train, start_build):
        context = stage_train(TRAIN)
        builds = [start_build(context, f"tag{number}") for number in range(3)]
        outputs = [build.communicate(timeout=120)[0] for build in builds]
        assert [build.returncode for build in builds] == [0, 0, 0], outputs
        assert sum("Installed" in output for output in outputs) == 1
        assert len(engine.images()) == 1
        assert engine.images()[0].tags == ("tag0:latest", "tag1:latest", "tag2:latest")

    def test_failed_build_names_step_exit_code_and_last_lines(self, engine, stage_script):
        assemble = "#!/bin/bash\necho '---> compile'\necho 'no such header'\nexit 42\n"
        with pytest.raises(BuildError) as error:
            engine.build(stage_script("true", assemble=assemble), tag="broken")
        for part in ("compile", "exit code 42", "no such header"):
            assert part in str(error.value)
        assert engine.images() == ()

    def test_requirement_that_does_not_exist_names_its_line(self, engine, stage_train):
        with pytest.raises(BuildError) as error:
            engine.build(stage_train(TRAIN, requirements="idna\nsix==99.0"), tag="broken")
        assert "projects/demo/m/requirements_train.txt:2: six==99.0" in str(error.value)
        assert "requirements_train.txt:1" not in str(error.value)

    def test_missing_requirement_names_the_import(self, engine, stage_train):
        with pytest.raises(BuildError, match=r"train.py:1 imports 'six', which no requirement provides"):
            engine.build(stage_train(TRAIN, requirements=""), tag="broken")

    def test_build_after_a_failed_one_works(self, engine, stage_train):
        with pytest.raises(BuildError):
            engine.build(stage_train(TRAIN, **{"setup.sh": "exit 1"}), tag="one")
        assert not engine.build(stage_train(TRAIN, **{"setup.sh": "exit 0"}), tag="one").reused

    def test_build_after_a_killed_one_works(self, engine, stage_train, start_build):
        context = stage_train(TRAIN, **{"setup.sh": "echo started; sleep 0.5"})
        killed = start_build(context, "one")
        wait_for(lambda: "started" in (killed.stdout.readline() if killed.stdout else ""))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert not engine.build(context, tag="one").reused
        assert engine.run(ContainerSpec("one", environment={"TRAIN": "1"})) == 0

    def test_interrupted_build_leaves_no_process_and_nothing_half_made(self, engine, stage_train, start_build):
        sleep = f"sleep 60.{secrets.randbelow(10**9)}"
        build = start_build(stage_train(TRAIN, **{"setup.sh": f"echo started; {sleep}"}), "one")
        wait_for(lambda: is_running(sleep), seconds=60)
        build.send_signal(signal.SIGINT)
        output, _ = build.communicate(timeout=20)
        assert "KeyboardInterrupt" in output
        wait_for(lambda: not is_running(sleep))
        assert engine.images() == ()
        assert engine.prune().environments == ()

    def test_tag_moves_to_the_newest_build(self, engine, stage_script):
        first = engine.build(stage_script("echo 1"), tag="demo")
        second = engine.build(stage_script("echo 2"), tag="demo")
        assert engine.inspect("demo:latest").id == second.id
        assert engine.inspect(first.id[:12]).tags == ()

    @pytest.mark.parametrize("tag", ["Upper", "a b", "", "a:b:c", "../up", "-x"])
    def test_tag_that_is_no_reference_is_an_error(self, engine, stage_script, tag):
        with pytest.raises(InputError, match="is no image tag"):
            engine.build(stage_script("true"), tag=tag)


class TestRunning:
    @pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)])
    def test_exit_code_is_that_of_the_process(self, engine, engine_name, stage_script, script, code):
        if engine_name == "podman" and code > 128:
            pytest.skip("Podman's Docker API gives a container no init: its first process gets no signal it ignores")
        engine.build(stage_script(script), tag="demo")
        assert engine.run(ContainerSpec("demo")) == code
        assert engine.containers(all=True) == ()

    def test_output_comes_line_by_line(self, engine, stage_script):
        engine.build(stage_script("echo one; sleep 1; echo two >&2; sleep 1; printf three"), tag="demo")
        lines: list[tuple[str, float]] = []
        engine.run(ContainerSpec("demo"), on_output=lambda line: lines.append((line, time.monotonic())))
        assert [line for line, _ in lines] == ["one", "two", "three"]
        assert lines[2][1] - lines[0][1] > 0.5

    def test_environment_of_the_image_and_of_the_run(self, engine, stage_script):
        engine.build(stage_script("echo $GREETING $NAME $MODELYARD_RUN_ID"), tag="demo")
        lines: list[str] = []
        engine.run(ContainerSpec("demo", environment={"NAME": "a b", "MODELYARD_RUN_ID": "r1"}), on_output=lines.append)
        assert lines == ["hello a b r1"]

    def test_variables_of_the_caller_do_not_leak_in(self, engine, stage_script, environ):
        environ |= {"MODEL_NAME": "leaked", "PYTHONPATH": "/leaked"}
        engine.build(stage_script("env"), tag="demo")
        lines: list[str] = []
        engine.run(ContainerSpec("demo"), on_output=lines.append)
        assert not [line for line in lines if "leaked" in line]

    def test_mounts_are_below_the_application_root(self, engine, stage_script, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "models").mkdir()
        (tmp_path / "data" / "in.txt").write_text("payload")
        engine.build(stage_script("cp data/in.txt models/out.txt; echo > own.txt"), tag="demo")
        mounts = [
            Mount(source=tmp_path / "data", target="data", read_only=True),
            Mount(source=tmp_path / "models", target="models"),
        ]
        assert engine.run(ContainerSpec("demo", mounts=mounts)) == 0
        assert (tmp_path / "models" / "out.txt").read_text() == "payload"

    def test_runs_do_not_see_each_others_files(self, engine, stage_script):
        engine.build(stage_script("test ! -e own.txt && echo > own.txt"), tag="demo")
        assert [engine.run(ContainerSpec("demo")), engine.run(ContainerSpec("demo"))] == [0, 0]

    def test_mount_that_is_not_there_or_leaves_the_root(self, engine, stage_script, tmp_path):
        engine.build(stage_script("true"), tag="demo")
        with pytest.raises(InputError, match="missing: no such folder"):
            engine.run(ContainerSpec("demo", mounts=[Mount(source=tmp_path / "missing", target="data")]))
        for target in ("/etc", "../up", "a/../../b", ""):
            with pytest.raises(InputError, match="is no place to mount"):
                Mount(source=tmp_path, target=target)
        assert engine.containers(all=True) == ()

    def test_interrupted_run_is_stopped_and_removed(self, engine, stage_script):
        engine.build(stage_script("echo ready; sleep 60 & wait"), tag="demo")

        def interrupt(line: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            engine.run(ContainerSpec("demo"), on_output=interrupt)
        assert engine.containers(all=True) == ()

    def test_unknown_image_lists_those_there_are(self, engine, stage_script):
        engine.build(stage_script("true"), tag="demo")
        with pytest.raises(EngineError, match=r"there is no image 'dmo' \(images: demo:latest\)"):
            engine.run(ContainerSpec("dmo"))


class TestServing:
    def test_served_container_answers_is_listed_and_stops(self, engine, stage_script):
        image = engine.build(stage_script(SERVE), tag="demo")
        port = free_port()
        container = engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=port)))
        assert (container.status, container.host, container.port) == ("running", "127.0.0.1", port)
        wait_for(lambda: answers(port))
        (listed,) = engine.containers()
        assert (listed.name, listed.image, listed.id) == ("web", image.id, container.id)
        stopped = engine.stop("web")
        assert (stopped.status, stopped.exit_code, stopped.pid) == ("exited", 0, None)
        assert engine.containers() == ()
        assert [item.name for item in engine.containers(all=True)] == ["web"]
        assert list(engine.logs("web")) == ["listening", "goodbye"]
        assert not answers(port)

    def test_stubborn_container_is_killed_with_all_its_processes(self, engine, stage_script):
        engine.build(stage_script("trap '' TERM\nsleep 61 & echo up; while true; do sleep 1; done"), tag="demo")
        engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=free_port())))
        wait_for(lambda: list(engine.logs("web")))
        began = time.monotonic()
        assert engine.stop("web", grace=0.2).exit_code == 137
        assert time.monotonic() - began < 5

    def test_stop_gives_a_container_the_time_that_its_daemon_takes(self, engine, stage_script):
        engine.build(stage_script("trap '' TERM\necho up; while true; do sleep 1; done"), tag="demo")
        half_a_second = {"STOP_TIMEOUT": "-4.5"}
        engine.start(ContainerSpec("demo", name="web", environment=half_a_second, published=PublishedPort(port=0)))
        wait_for(lambda: list(engine.logs("web")))
        began = time.monotonic()
        assert engine.stop("web").exit_code == 137
        assert time.monotonic() - began < 20

    def test_end_of_the_main_process_ends_its_children(self, engine, stage_script):
        sleep = f"sleep 62.{secrets.randbelow(10**9)}"
        engine.build(stage_script(f"{sleep} & echo done"), tag="demo")
        assert engine.run(ContainerSpec("demo")) == 0
        wait_for(lambda: not is_running(sleep))

    def test_logs_follow_until_the_end(self, engine, stage_script):
        engine.build(stage_script("for i in 1 2 3; do echo $i; sleep 0.1; done; exit 3"), tag="demo")
        engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=free_port())))
        assert list(engine.logs("web", follow=True)) == ["1", "2", "3"]
        assert engine.container("web").exit_code == 3

    def test_port_that_a_container_has_is_named(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        port = free_port()
        engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=port)))
        with pytest.raises(PortTakenError, match=rf"port {port} on 127.0.0.1 is taken by container web"):
            engine.start(ContainerSpec("demo", name="other", published=PublishedPort(port=port)))
        assert [item.name for item in engine.containers(all=True)] == ["web"]

    def test_port_that_another_process_has_is_an_error(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(PortTakenError, match="is taken"):
                engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=taken.getsockname()[1])))
        assert engine.containers(all=True) == ()

    def test_port_is_checked_without_a_start_as_if_a_container_had_ended(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        port = free_port()
        engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=port)))
        engine.check_port("127.0.0.1", port, leaving="web")
        with pytest.raises(PortTakenError, match=rf"port {port} on 127.0.0.1 is taken by container web"):
            engine.check_port("127.0.0.1", port)
        with pytest.raises(EngineError, match=r"nothing can listen on 192\.0\.2\.1: "):  # an address of no machine
            engine.check_port("192.0.2.1", port, leaving="web")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(PortTakenError, match="is taken"):
                engine.check_port("127.0.0.1", taken.getsockname()[1], leaving="web")

    def test_port_zero_publishes_a_free_one(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        container = engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=0)))
        assert container.port
        wait_for(lambda: answers(container.port))

    def test_name_of_a_running_container_is_taken_that_of_an_ended_one_is_free(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        first = engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=0)))
        with pytest.raises(EngineError, match=rf"a container web runs already at 127.0.0.1:{first.port}"):
            engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=0)))
        engine.stop("web")
        assert engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=0))).id != first.id
        assert len(engine.containers(all=True)) == 1

    def test_container_outlives_who_started_it(self, engine, engine_name, stage_script, environ):
        engine.build(stage_script(SERVE), tag="demo")
        code = (
            "import os, sys; from modelyard.engines import open_engine; "
            "from modelyard.engines.protocols import ContainerSpec, PublishedPort; "
            "spec = ContainerSpec('demo', name='web', published=PublishedPort(port=0)); "
            "open_engine(sys.argv[1], os.environ).start(spec)"
        )
        subprocess.run([sys.executable, "-c", code, engine_name], env=environ, check=True, timeout=20)
        wait_for(lambda: list(engine.logs("web")))
        assert engine.container("web").status == "running"
        assert engine.stop("web").exit_code == 0

    def test_unknown_container_lists_those_there_are(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=0)))
        with pytest.raises(EngineError, match=r"there is no container 'wbe' \(containers: web\)"):
            engine.stop("wbe")


class TestJobs:
    """What runs in the background and answers nobody."""

    def test_container_without_a_port_runs_on_and_its_end_is_kept(self, engine, stage_script, tmp_path):
        image = engine.build(stage_script("echo ${HOST-none} ${PORT-none} $NAME; touch models/go; exit 3"), tag="demo")
        mounts = [Mount(source=tmp_path, target="models")]
        started = engine.start(ContainerSpec("demo", name="job", environment={"NAME": "one"}, mounts=mounts))
        assert (started.name, started.image, started.host, started.port) == ("job", image.id, None, None)
        assert list(engine.logs("job", follow=True)) == ["none none one"]
        wait_for(lambda: engine.container("job").status == "exited")
        assert engine.container("job").exit_code == 3
        assert (tmp_path / "go").exists()

    def test_jobs_of_one_image_run_beside_each_other_under_names_of_their_own(self, engine, stage_script):
        engine.build(stage_script("trap 'echo saved; exit 0' TERM\necho up; sleep 60 & wait"), tag="demo")
        jobs = [engine.start(ContainerSpec("demo")) for _ in range(2)]
        assert len({job.name for job in jobs}) == 2
        assert {item.id for item in engine.containers()} == {job.id for job in jobs}
        for job in jobs:
            wait_for(lambda job=job: list(engine.logs(job.name)))
            assert engine.stop(job.name).exit_code == 0
            assert list(engine.logs(job.name)) == ["up", "saved"]

    def test_name_of_a_running_job_is_taken(self, engine, stage_script):
        engine.build(stage_script("sleep 60 & wait"), tag="demo")
        engine.start(ContainerSpec("demo", name="job"))
        with pytest.raises(EngineError, match=r"a container job runs already\n"):
            engine.start(ContainerSpec("demo", name="job"))


class TestStore:
    def test_images_are_listed_newest_first(self, engine, stage_script):
        engine.build(stage_script("echo 1"), tag="one")
        engine.build(stage_script("echo 2"), tag="two")
        assert [image.tags for image in engine.images()] == [("two:latest",), ("one:latest",)]

    def test_image_goes_with_its_last_tag(self, engine, stage_script):
        engine.build(stage_script("true"), tag="one")
        engine.build(stage_script("true"), tag="two")
        assert engine.remove("one").tags == ("two:latest",)
        assert engine.remove("two").tags == ()
        assert engine.images() == ()

    def test_size_is_billed_by_layer_and_by_package(self, engine, engine_name, stage_train):
        image = engine.build(stage_train(TRAIN), tag="demo")
        bill = engine.measure("demo")
        assert bill.size == image.size
        assert 0 < sum(layer.size for layer in bill.layers) <= bill.size * 1.1
        if engine_name != "podman":  # which keeps no title of what it commits
            assert any("demo/m (train)" in layer.title for layer in bill.layers)
        (six,) = [item for item in bill.packages if item.name == "six"]
        assert (six.environment, six.size > 30_000) == ("default", True)
        assert [item.size for item in bill.packages] == sorted((item.size for item in bill.packages), reverse=True)

    def test_image_without_environments_has_no_packages(self, engine, stage_script):
        engine.build(stage_script("true"), tag="demo")
        assert {item.name for item in engine.measure("demo").packages} <= {NO_PACKAGE}

    def test_image_that_is_too_large_is_not_kept(self, engine, stage_script):
        image = engine.build(stage_script("true"), tag="demo")
        large = stage_script("echo more")
        with pytest.raises(BuildError, match=r"more than the 0\.0 MB it may have"):
            build_within(1, large, tag="demo", engine=engine, on_output=discard)
        assert [(item.id, item.tags) for item in engine.images()] == [(image.id, ("demo:latest",))]
        assert build_within(10**12, large, tag="demo", engine=engine, on_output=discard).tags == ("demo:latest",)

    def test_image_in_use_is_not_removed(self, engine, stage_script):
        engine.build(stage_script(SERVE), tag="demo")
        engine.build(stage_script(SERVE), tag="other")
        engine.start(ContainerSpec("demo", name="web", published=PublishedPort(port=0)))
        assert engine.remove("other").tags == ("demo:latest",)
        with pytest.raises(EngineError, match="in use by container web"):
            engine.remove("demo")
        engine.build(stage_script("echo newer"), tag="demo")
        assert engine.prune().images == ()
        engine.stop("web")
        pruned = engine.prune()
        assert (len(pruned.images), pruned.containers) == (1, ("web",))

    def test_prune_removes_what_killed_builds_left_in_the_temporary_folder(self, engine, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        left = tmp_path / f"{PREFIX}left" / "folder"
        left.mkdir(parents=True)
        (left / "context.json").write_text("{}")
        with scratch_folder() as held:
            assert not left.exists(), "the next build removes it, too"
            left.mkdir(parents=True)
            assert engine.prune().freed >= 0
            assert held.is_dir() and not left.exists()

    def test_prune_removes_what_nothing_uses_and_nothing_else(self, engine, stage_train):
        engine.build(stage_train(TRAIN), tag="kept")
        engine.build(stage_train(TRAIN, requirements="six\nidna"), tag="gone")
        assert engine.prune().images == ()
        engine.remove("gone")
        pruned = engine.prune()
        assert pruned.freed > 0
        assert engine.run(ContainerSpec("kept", environment={"TRAIN": "1"})) == 0
        assert engine.build(stage_train(TRAIN), tag="kept").reused

    def test_start_of_an_id_that_two_images_share_is_an_error(self, engine, stage_script):
        for number in range(17):
            engine.build(stage_script(f"echo {number}"), tag=f"tag{number}")
        with pytest.raises(EngineError, match="images start with"):
            starts = [image.id[0] for image in engine.images()]
            engine.inspect(next(start for start in starts if starts.count(start) > 1))
