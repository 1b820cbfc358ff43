"""What the previous image saved: it is moved to where uv looks for it."""

from pathlib import Path

from modelyard.runtime.artifacts import restore_cache


def test_cache_is_moved_back_and_nothing_of_it_stays(tmp_path: Path):
    (tmp_path / "src").mkdir()
    saved = tmp_path / "artifacts" / "uv" / "wheels"
    saved.mkdir(parents=True)
    (saved / "six").symlink_to("/elsewhere")
    (tmp_path / "home" / ".cache" / "uv" / "old").mkdir(parents=True)
    environ = {"HOME": str(tmp_path / "home")}
    assert restore_cache(tmp_path / "src", environ)
    cache = tmp_path / "home" / ".cache" / "uv"
    assert [path.relative_to(cache).as_posix() for path in sorted(cache.rglob("*"))] == ["wheels", "wheels/six"]
    assert (cache / "wheels" / "six").readlink() == Path("/elsewhere")
    assert not (tmp_path / "artifacts").exists()
    assert not restore_cache(tmp_path / "src", environ)


def test_variable_says_where_the_cache_is(tmp_path: Path):
    (tmp_path / "artifacts" / "mine").mkdir(parents=True)
    (tmp_path / "artifacts" / "other").mkdir()
    assert not restore_cache(tmp_path / "src", {"UV_CACHE_DIR": str(tmp_path / "here")})
    assert restore_cache(tmp_path / "src", {"UV_CACHE_DIR": str(tmp_path / "place" / "mine")})
    assert (tmp_path / "place" / "mine").is_dir()
