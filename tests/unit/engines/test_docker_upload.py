"""What goes up into a container: modes and owners, and folders that are there already."""

import io
import tarfile
from pathlib import Path, PurePosixPath

from modelyard.engines.docker.upload import write_upload
from modelyard.images.folders import Folders


def upload(trees: dict[str, Path], *there: str, **options: bool) -> tuple[list[str], dict[str, tarfile.TarInfo]]:
    file = io.BytesIO()
    links = {"/var/run": "/run"}
    folders = Folders(lambda path: PurePosixPath(links.get(str(path), path)) if str(path) in there else None)
    files = write_upload(file, trees, uid=1500, folders=folders, **options)
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        return files, {member.name: member for member in archive}


def test_folders_that_are_there_are_left_out_and_new_ones_keep_their_modes(tmp_path):
    (tmp_path / "ssl" / "new").mkdir(parents=True)
    (tmp_path / "ssl" / "new").chmod(0o750)
    (tmp_path / "ssl" / "key").write_text("k")
    (tmp_path / "ssl" / "key").chmod(0o400)
    files, found = upload({"/etc": tmp_path, "/srv/a/b": tmp_path / "ssl"}, "/etc", "/etc/ssl", "/srv")
    assert list(found) == [
        "etc/ssl/key",
        "etc/ssl/new",
        "srv/a",
        "srv/a/b",
        "srv/a/b/key",
        "srv/a/b/new",
    ]
    assert files == ["/etc/ssl/key", "/srv/a/b/key"]
    assert [oct(found[name].mode) for name in ("etc/ssl/key", "etc/ssl/new", "srv/a")] == ["0o400", "0o750", "0o755"]
    assert [found[name].uid for name in ("etc/ssl/key", "srv/a", "srv/a/b")] == [1500, 0, 1500]


def test_shared_files_are_the_groups_as_well(tmp_path):
    (tmp_path / "run").touch()
    (tmp_path / "run").chmod(0o700)
    assert upload({"/x": tmp_path}, shared=True)[1]["x/run"].mode == 0o770


def test_what_comes_below_a_link_comes_where_it_leads(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "token").touch()
    files, found = upload({"/var/run": tmp_path}, "/var", "/var/run", "/run/s")
    assert list(found) == ["run/s/token"]
    assert files == ["/run/s/token"]


def test_nobody_asks_below_a_folder_that_is_not_there():
    asked: list[str] = []

    def look(path: PurePosixPath) -> PurePosixPath | None:
        asked.append(str(path))
        return path if str(path) == "/a" else None

    folders = Folders(look)
    assert folders.find(PurePosixPath("/")) == PurePosixPath("/")
    assert [folders.find(PurePosixPath(f"/a/b/{name}")) for name in "cd"] == [None, None]
    assert folders.place(PurePosixPath("/a/b/c")) == PurePosixPath("/a/b/c")
    assert asked == ["/a", "/a/b"]
