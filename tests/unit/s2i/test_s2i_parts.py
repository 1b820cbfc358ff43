"""The parts of s2i that need no engine: source, scripts, labels, Dockerfile, skeleton, `.s2ifile`."""

from pathlib import Path

import pytest

from modelyard.errors import InputError
from modelyard.s2i.builder import BuilderImage
from modelyard.s2i.callback import check_callback
from modelyard.s2i.config import BuildConfig, load_config, save_config
from modelyard.s2i.create import create_builder
from modelyard.s2i.dockerfile import write_dockerfile
from modelyard.s2i.environment import parse_variables, read_variables
from modelyard.s2i.injection import Injections
from modelyard.s2i.labels import LOCATION, read_labels, result_labels
from modelyard.s2i.onbuild import guess_entry_point
from modelyard.s2i.prepared import Prepared
from modelyard.s2i.runtime_image import parse_artifacts
from modelyard.s2i.scripts import find_scripts
from modelyard.s2i.source import Fetched, fetch_source, parse_source
from modelyard.s2i.users import AllowedUids

BUILDER = BuilderImage(
    reference="builder:1",
    id="sha256:b",
    config={"User": "1001", "Labels": {"io.openshift.s2i.scripts-url": "image:///usr/libexec/s2i"}},
)


def config(**options: object) -> BuildConfig:
    return BuildConfig(**{"source": "src", "builder_image": "builder:1", "tag": "app:latest", **options})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    return folder


def staged(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


class TestSource:
    @pytest.mark.parametrize(
        ("text", "url", "ref", "is_path"),
        [
            ("https://example.org/x.git", "https://example.org/x.git", "", False),
            ("https://example.org/x.git#v1", "https://example.org/x.git", "v1", False),
            ("git@example.org:me/x.git#main", "git@example.org:me/x.git", "main", False),
            ("ssh://git@example.org:22/x", "ssh://git@example.org:22/x", "", False),
            ("file:///srv/x%20y#v2", "file:///srv/x%20y", "v2", True),
            (".", "/work", "", True),
        ],
    )
    def test_forms_of_the_argument(self, text, url, ref, is_path):
        found = parse_source(text, directory=Path("/work"))
        assert (found.url, found.ref, found.path is not None) == (url, ref, is_path)

    def test_flag_comes_before_the_fragment(self):
        assert parse_source("https://x/y#a", ref="b", directory=Path("/")).ref == "b"

    def test_ignore_file_exclude_and_context_dir(self, source, tmp_path):
        (source / "sub" / "c.log").write_text("c")
        (source / "sub" / ".s2iignore").write_text("*.log\n")
        found = fetch_source(config(context_dir="sub", exclude="ignore"), tmp_path / "work", directory=tmp_path)
        assert staged(found.root) == ["b.txt"]
        assert found.labels["io.openshift.s2i.build.source-context-dir"] == "sub"

    @pytest.mark.parametrize("folder", ["../outside", "/etc", "missing"])
    def test_context_dir_that_is_none_of_the_source(self, source, tmp_path, folder):
        with pytest.raises(InputError, match="--context-dir"):
            fetch_source(config(context_dir=folder), tmp_path / "work", directory=tmp_path)

    def test_link_that_leaves_the_source_is_an_error_unless_links_are_kept(self, source, tmp_path):
        (source / "inside").symlink_to("a.txt")
        (source / "outside").symlink_to("/etc/passwd")
        with pytest.raises(InputError, match=r"outside: a link that leaves the source \(to /etc/passwd\)"):
            fetch_source(config(), tmp_path / "1", directory=tmp_path)
        found = fetch_source(config(keep_symlinks=True), tmp_path / "2", directory=tmp_path)
        assert (found.root / "outside").readlink() == Path("/etc/passwd")
        assert (found.root / "inside").readlink() == Path("a.txt")

    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("src", "{tmp}/src"),
            ("./sub/../src", "{tmp}/src"),
            ("file://src", "file://{tmp}/src"),
            ("a#b", "{tmp}/a#b"),
            ("file://a%23b", "file://{tmp}/a%23b"),
        ],
    )
    def test_location_is_absolute_and_leads_there_again(self, source, tmp_path, text, label):
        (tmp_path / "a#b").mkdir()
        (tmp_path / "sub").mkdir()
        written = fetch_source(config(source=text), tmp_path / "work", directory=tmp_path).labels[LOCATION]
        assert written == label.format(tmp=tmp_path)
        again = fetch_source(config(source=written), tmp_path / "again", directory=Path("/"))
        assert again.labels[LOCATION] == written

    def test_files_of_the_source_are_named_as_their_user_does(self, source, tmp_path):
        (source / "sub" / "outside").symlink_to("/etc/passwd")
        with pytest.raises(InputError, match=f"^{source}/sub/outside: a link"):
            fetch_source(config(context_dir="sub"), tmp_path / "1", directory=tmp_path)
        (source / ".s2iignore").write_bytes(b"\xff")
        with pytest.raises(InputError, match=f"^{source}/.s2iignore: not UTF-8"):
            fetch_source(config(), tmp_path / "2", directory=tmp_path)

    def test_ref_of_what_is_no_repository(self, source, tmp_path):
        with pytest.raises(InputError, match="no git repository"):
            fetch_source(config(ref="v1"), tmp_path / "work", directory=tmp_path)

    def test_missing_directory_and_broken_expression(self, source, tmp_path):
        with pytest.raises(InputError, match="no such source directory"):
            fetch_source(config(source="nowhere"), tmp_path / "1", directory=tmp_path)
        with pytest.raises(InputError, match="no regular expression"):
            fetch_source(config(exclude="("), tmp_path / "2", directory=tmp_path)


class TestScripts:
    def find(self, tmp_path: Path, source: Path, url: str):
        return find_scripts(
            tmp_path / "scripts", url=url, source=source, image_url="image:///i", destination="/d", directory=tmp_path
        )

    def test_command_line_then_source_then_image(self, source, tmp_path):
        (source / ".s2i" / "bin").mkdir(parents=True)
        (tmp_path / "mine").mkdir()
        for name in ("run", "assemble"):
            (source / ".s2i" / "bin" / name).write_text(f"# source {name}\n")
        (tmp_path / "mine" / "run").write_text("# mine\n")
        scripts = self.find(tmp_path, source, "file://mine")
        assert dict(scripts.paths) == {
            "run": "/d/scripts/run",
            "assemble": "/d/scripts/assemble",
            "usage": "/i/usage",
            "save-artifacts": "/i/save-artifacts",
            "assemble-runtime": "/i/assemble-runtime",
        }
        assert (tmp_path / "scripts" / "run").read_text() == "# mine\n"

    def test_path_in_the_image(self, source, tmp_path):
        assert self.find(tmp_path, source, "image:///other")["run"] == "/other/run"

    def test_windows_line_ends_and_unknown_schemes(self, source, tmp_path):
        (source / ".s2i" / "bin").mkdir(parents=True)
        (source / ".s2i" / "bin" / "run").write_bytes(b"#!/bin/bash\r\n")
        with pytest.raises(InputError, match="CRLF"):
            self.find(tmp_path, source, "")
        with pytest.raises(InputError, match="ftp:// is not understood"):
            self.find(tmp_path, source, "ftp://x/y")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("file://nowhere", "--scripts-url 'file://nowhere': there is none of assemble, run"),
            ("scirpts", "--scripts-url 'scirpts': there is none of assemble, run"),
            ("image://usr/libexec/s2i", "the path in the image is not absolute"),
            ("image:/usr/libexec/s2i", "the path in the image is not absolute"),
            ("http://127.0.0.1:1/bin", "--scripts-url 'http://127.0.0.1:1/bin': assemble: .*refused"),
        ],
    )
    def test_mistyped_url_is_an_error(self, source, tmp_path, url, words):
        with pytest.raises(InputError, match=words):
            self.find(tmp_path, source, url)

    def test_label_may_lead_to_a_folder_of_this_machine(self, source, tmp_path):
        (tmp_path / "of label").mkdir()
        (tmp_path / "of label" / "run").write_text("# of the label\n")
        scripts = find_scripts(
            tmp_path / "scripts",
            url="",
            source=source,
            image_url=f"file://{tmp_path}/of%20label",
            destination="/d",
            directory=tmp_path,
        )
        assert dict(scripts.paths) == {"run": "/d/scripts/run"}

    def test_label_that_answers_nothing_is_an_error_where_its_scripts_are_needed(self, source, tmp_path):
        def find(folder: str) -> dict[str, str]:
            url = "http://127.0.0.1:1/bin"
            scripts = find_scripts(
                tmp_path / folder, url="", source=source, image_url=url, destination="/d", directory=tmp_path
            )
            return dict(scripts.paths)

        with pytest.raises(InputError, match=r"its label io.openshift.s2i.scripts-url 'http://127.0.0.1:1/bin'"):
            find("1")
        (source / ".s2i" / "bin").mkdir(parents=True)
        for name in ("run", "assemble"):
            (source / ".s2i" / "bin" / name).write_text("#\n")
        assert find("2") == {"run": "/d/scripts/run", "assemble": "/d/scripts/assemble"}

    def test_errors_name_the_users_file(self, source, tmp_path):
        (source / ".s2i" / "bin").mkdir(parents=True)
        (source / ".s2i" / "bin" / "run").write_bytes(b"#!/bin/bash\r\n")
        fetched = fetch_source(config(), tmp_path / "work", directory=tmp_path)
        with pytest.raises(InputError, match=f"^{source}/.s2i/bin/run: Windows line ends"):
            find_scripts(
                tmp_path / "scripts",
                url="",
                source=fetched.root,
                source_name=fetched.name,
                image_url="image:///i",
                destination="/d",
                directory=tmp_path,
            )


class TestEnvironment:
    def test_lines_that_set_nothing_and_names_set_twice_are_as_upstream(self):
        text = "\ufeff# A=0\n// A=0\nA=1\r\nno variable\n\n = x\nspring.profiles.active=x\nA = 2=3, 4 "
        assert parse_variables(text, source="f") == {"A": "2=3, 4", "spring.profiles.active": "x"}

    @pytest.mark.parametrize(
        ("text", "words"),
        [("A=1\nexport B=2\n", "mine:2: 'export B' is no name"), ("A=\0", "mine:1: the value of A holds a NUL")],
    )
    def test_what_no_image_can_hold_is_an_error_with_its_line(self, text, words):
        with pytest.raises(InputError, match=words):
            parse_variables(text, source="mine")

    def test_copy_of_a_file_is_named_as_its_original(self, tmp_path):
        (tmp_path / "copy").write_bytes(b"A=\xff")
        with pytest.raises(InputError, match=r"^mine: not UTF-8 text \(byte 2\)"):
            read_variables(tmp_path / "copy", name="mine")


class TestLabels:
    def test_rebuild_reads_what_build_wrote(self):
        fetched = Fetched(
            root=Path("/x"),
            labels={
                "io.openshift.s2i.build.source-location": "https://x/y",
                "io.openshift.s2i.build.commit.ref": "v1",
                "io.openshift.s2i.build.commit.id": "abc",
            },
        )
        written = result_labels(config(application_name="the app", labels={"team": "x"}), fetched, BUILDER)
        assert written["org.opencontainers.image.revision"] == "abc"
        assert written["team"] == "x"
        again = read_labels("app", written, tag="app:2")
        assert (again.source, again.builder_image, again.ref, again.tag) == ("https://x/y", "builder:1", "v1", "app:2")
        assert again.application_name == "the app"

    def test_image_that_s2i_did_not_build(self):
        with pytest.raises(InputError, match=r"has no label io\.openshift\.s2i\.build\.image"):
            read_labels("app", {}, tag="app")


class TestDockerfile:
    def test_lines_are_the_steps_and_values_can_not_end_them(self, source, tmp_path):
        work = tmp_path / "work"
        (work / "upload" / "src").mkdir(parents=True)
        (work / "upload" / "scripts").mkdir()
        scripts = find_scripts(
            work / "upload" / "scripts", url="", source=None, image_url="image:///s", destination="/tmp", directory=work
        )
        prepared = Prepared(
            config=config(),
            builder=BUILDER,
            folder=work,
            fetched=Fetched(root=work / "upload" / "src"),
            scripts=scripts,
            destination="/tmp",
            environment={"A": 'x" $HOME\\'},
            labels={"l": "1"},
        )
        path = write_dockerfile(prepared, tmp_path / "out")
        assert path.read_text().splitlines() == [
            "FROM builder:1",
            'LABEL l="1"',
            'ENV A="x\\" \\$HOME\\\\"',
            "USER root",
            "COPY upload/src /tmp/src",
            "RUN chown -R 1001:0 /tmp/src",
            "USER 1001",
            'RUN ["/s/assemble"]',
            "USER 1001",
            'CMD ["/s/run"]',
        ]


class TestSkeleton:
    def test_folder_with_something_in_it_is_left_alone(self, source):
        with pytest.raises(InputError, match="is not empty"):
            create_builder("x", source)


class TestConfig:
    def test_file_gives_back_what_was_written(self, tmp_path):
        written = config(environment={"A": "b,c"}, volumes=("/a:/b",), labels={"x": "y"})
        save_config(written, tmp_path)
        assert load_config(tmp_path) == written

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"source": 1'])
    def test_file_that_is_none(self, tmp_path, text):
        (tmp_path / ".s2ifile").write_text(text)
        with pytest.raises(InputError, match=r"\.s2ifile"):
            load_config(tmp_path)

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            load_config(tmp_path)


class TestValues:
    @pytest.mark.parametrize(
        ("user", "allowed", "fits"),
        [
            ("1001", "1-", True),
            ("0", "1-", False),
            ("1500:0", "1000-2000,3000", True),
            ("2500", "1000-2000,3000", False),
            ("", "1-", False),
            ("0:0", "1-", False),
            ("7", "-10", True),
            ("1001", "", True),
        ],
    )
    def test_allowed_uids(self, user, allowed, fits):
        if fits:
            AllowedUids.parse(allowed).check(user, "it")
        else:
            with pytest.raises(InputError, match="does not allow"):
                AllowedUids.parse(allowed).check(user, "it")

    @pytest.mark.parametrize("text", ["abc", "5-1", "1-2-3", "-", "1,", "1-x", "\u00b2", "0x1", "1.5"])
    def test_ranges_that_are_none(self, text):
        with pytest.raises(InputError, match="--allowed-uids"):
            AllowedUids.parse(text)

    @pytest.mark.parametrize("user", ["app", "$UID", "\u00b2", "-1", "+0"])
    def test_user_name_can_not_be_checked(self, user):
        with pytest.raises(InputError, match="no number"):
            AllowedUids.parse("1-").check(user, "it")

    def test_hostile_arguments(self, tmp_path):
        for text in ("a:b", "/a:../b", ""):
            with pytest.raises(InputError):
                parse_artifacts([text])
        for text in ("/x", "none", f"{tmp_path}/none:/x", ":/x", f"{tmp_path}:/x;none:/y"):
            with pytest.raises(InputError, match="--inject"):
                Injections.parse([text], directory=tmp_path, workdir="/")
        with pytest.raises(InputError, match=r"no http\(s\) URL"):
            check_callback("file:///etc/passwd")

    def test_targets_of_injections(self, source):
        texts = [f"{source}:/opt/x; sub:conf", "sub", "'sub:../up'"]
        found = Injections.parse(texts, directory=source, workdir="/opt/app")
        assert [target for _, target in found.folders] == ["/opt/x", "/opt/app/conf", "/opt/app", "/opt/up"]
        assert [folder.name for folder, _ in found.folders] == ["src", "sub", "sub", "sub"]

    def test_artifacts_by_semicolon(self):
        assert parse_artifacts(["/a:b;/c", "/d:"]) == [("/a", "b"), ("/c", ""), ("/d", "")]

    @pytest.mark.parametrize(
        ("labels", "variables", "url", "destination"),
        [
            ({}, [], "", "/tmp"),
            ({}, ["STI_SCRIPTS_URL=image:///sti", "STI_LOCATION=/opt/"], "image:///sti", "/opt"),
            ({"io.s2i.scripts-url": "image:///o", "io.s2i.destination": "/o"}, ["STI_LOCATION=/n"], "image:///o", "/o"),
            ({"io.openshift.s2i.scripts-url": "image:///n"}, ["STI_SCRIPTS_URL=image:///o"], "image:///n", "/tmp"),
        ],
    )
    def test_old_builders_say_it_in_labels_and_variables(self, labels, variables, url, destination):
        image = BuilderImage(reference="b", id="b", config={"Labels": labels, "Env": variables})
        assert (image.scripts_url, image.destination) == (url, destination)

    def test_entry_point_is_the_first_executable(self, source):
        assert guess_entry_point(source) is None
        (source / "start").touch()
        assert guess_entry_point(source) is None
        (source / "start").chmod(0o755)
        assert guess_entry_point(source) == "start"
