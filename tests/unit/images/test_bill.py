"""The bill of an image: which package a file belongs to."""

from modelyard.images.bill import PackageSize, bill_packages

SITE = "default/lib/python3.11/site-packages"


def package(name: str, version: str, size: int, environment: str = "default") -> PackageSize:
    return PackageSize(environment=environment, name=name, version=version, size=size)


def test_a_package_has_its_files_its_compiled_modules_and_its_scripts():
    records = {
        f"{SITE}/my_lib-1.2.dist-info/RECORD": 'my_lib/a.py,sha256=x,3\n"my_lib/b,c.so",,\n../../../bin/tool,,\n'
    }
    sizes = {
        f"{SITE}/my_lib/a.py": 1,
        f"{SITE}/my_lib/__pycache__/a.cpython-311.pyc": 10,
        f"{SITE}/my_lib/b,c.so": 100,
        "default/bin/tool": 1000,
        f"{SITE}/stray.py": 5,
    }
    assert bill_packages(sizes, records) == (package("my-lib", "1.2", 1111), package("(no package)", "", 5))


def test_the_largest_come_first_and_environments_are_apart():
    other = SITE.replace("default", "gateway")
    records = {f"{folder}/lib-{n}.dist-info/RECORD": "lib.py,,\n" for n, folder in enumerate((SITE, other), start=1)}
    sizes = {f"{SITE}/lib.py": 3, f"{other}/lib.py": 4}
    assert bill_packages(sizes, records) == (package("lib", "2", 4, "gateway"), package("lib", "1", 3))


def test_nothing_is_nothing():
    assert bill_packages({}, {}) == ()
