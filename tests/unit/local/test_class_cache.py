"""Kafka's class cache: the first run leaves a mark, the second writes the cache, those after it use it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stumble.local.class_cache import ClassCache


@pytest.fixture
def new_run(tmp_path: Path):
    program, jar = tmp_path / "java", tmp_path / "a.jar"
    program.touch()
    jar.write_text("jar")
    return lambda *options: ClassCache(tmp_path, program, [jar], options)


def value_of(options: list[str], name: str) -> Path:
    (option,) = [option for option in options if option.startswith(f"-XX:{name}=")]
    return Path(option.partition("=")[2])


def write_cache(new_run, *, clean: bool = True) -> None:
    new_run().finish(clean=True)
    writing = new_run()
    value_of(writing.java_options(), "AOTCacheOutput").write_text("cache")
    writing.finish(clean=clean)


def test_first_run_neither_writes_nor_uses_a_cache(new_run) -> None:
    assert new_run().java_options() == []


def test_third_run_uses_what_the_second_wrote(new_run) -> None:
    write_cache(new_run)
    assert value_of(new_run().java_options(), "AOTCache").read_text() == "cache"


def test_run_with_other_options_does_not_use_the_cache(new_run) -> None:
    write_cache(new_run)
    assert new_run("-XX:+Fast").java_options() == []


def test_killed_first_run_leaves_no_mark(new_run, tmp_path: Path) -> None:
    new_run().finish(clean=False)
    assert list(tmp_path.glob("classes-*")) == []


def test_cache_of_a_killed_run_is_removed_and_written_again(new_run, tmp_path: Path) -> None:
    write_cache(new_run, clean=False)
    assert [path.suffix for path in tmp_path.glob("classes-*")] == [".used"]
    assert new_run().writes_cache


def test_two_runs_at_the_same_time_write_different_files(new_run) -> None:
    new_run().finish(clean=True)
    assert new_run().java_options() != new_run().java_options()


def test_unused_caches_are_removed(new_run, tmp_path: Path) -> None:
    old = tmp_path / "classes-0123.aot"
    old.touch()
    os.utime(old, (0, 0))
    write_cache(new_run)
    assert not old.exists()


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_cache_that_another_user_may_write_is_not_used_but_written_again(new_run, tmp_path: Path, mode: int) -> None:
    write_cache(new_run)
    (cache,) = tmp_path.glob("classes-*.aot")
    cache.chmod(mode)
    assert new_run().writes_cache
    write_cache(new_run)
    assert value_of(new_run().java_options(), "AOTCache") == cache


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_cache_of_another_user_is_not_used(new_run, tmp_path: Path) -> None:
    write_cache(new_run)
    (cache,) = tmp_path.glob("classes-*.aot")
    os.chown(cache, 65534, 65534)
    assert new_run().writes_cache
