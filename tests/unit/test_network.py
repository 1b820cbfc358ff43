"""The user's network settings as uv and pip understand them."""

from modelyard.network import make_network_profile, mask_credentials, parse_pip_settings


def test_pip_settings_become_uv_variables():
    pip = {
        "index-url": "https://index.example/simple",
        "extra-index-url": "\nfile:///srv/a/simple\nhttps://b.example/simple",
        "find-links": "/srv/wheels https://c.example/links",
        "trusted-host": "index.example b.example",
        "cert": "/etc/ca.pem",
        "timeout": "60",
        "no-index": "true",
        "proxy": "http://proxy.example:3128",
    }
    assert make_network_profile({}, pip).masked() == {
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
        "PIP_CERT": "/etc/ca.pem",
        "PIP_EXTRA_INDEX_URL": "\nfile:///srv/a/simple\nhttps://b.example/simple",
        "PIP_FIND_LINKS": "/srv/wheels https://c.example/links",
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_NO_INDEX": "true",
        "PIP_PROXY": "http://proxy.example:3128",
        "PIP_TIMEOUT": "60",
        "PIP_TRUSTED_HOST": "index.example b.example",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_FIND_LINKS": "/srv/wheels,https://c.example/links",
        "UV_HTTP_TIMEOUT": "60",
        "UV_INDEX": "file:///srv/a/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "index.example b.example",
        "UV_NO_INDEX": "1",
    }


def test_nothing_set_is_nothing_passed():
    assert make_network_profile({"HOME": "/home/me", "MODEL_NAME": "x"}, {}).variables == {}


def test_what_the_user_set_for_uv_stays():
    environ = {"UV_DEFAULT_INDEX": "https://mine.example/simple", "https_proxy": "http://p:1", "UV_CACHE_DIR": "/c"}
    variables = make_network_profile(environ, {"index-url": "https://pip.example/simple"}).variables
    assert variables["UV_DEFAULT_INDEX"] == "https://mine.example/simple"
    assert (variables["https_proxy"], variables["UV_CACHE_DIR"]) == ("http://p:1", "/c")


def test_ca_bundle_of_requests_reaches_uv():
    variables = make_network_profile({"REQUESTS_CA_BUNDLE": "/etc/company.pem"}, {}).variables
    assert variables["SSL_CERT_FILE"] == "/etc/company.pem"


def test_environment_wins_over_pips_files():
    listed = "global.index-url='https://global/simple'\ninstall.index-url='https://install/simple'\n"
    assert parse_pip_settings(listed) == {"index-url": "https://install/simple"}
    assert parse_pip_settings(listed + ":env:.index-url='https://env/simple'\n") == {"index-url": "https://env/simple"}


def test_settings_of_other_pip_commands_are_not_taken():
    assert parse_pip_settings("list.format='columns'\nwarning without any settings\n") == {}


def test_credentials_are_masked_wherever_they_stand():
    line = "error: https://token@a.example/x and http://u:p%40w@b.example:8080/y, not git@host, not git+ssh://git@c/x"
    assert mask_credentials(line) == (
        "error: https://***@a.example/x and http://***@b.example:8080/y, not git@host, not git+ssh://git@c/x"
    )
