import pytest

from modelyard.commands.training import TrainRequest, train_model
from tests.conftest import write_files


@pytest.fixture
def request_(workspace, model):
    return TrainRequest(workspace=workspace, model=model)


def test_a_missing_data_set_is_got_where_the_project_can(request_, engine, reporter):
    path = request_.data_folder / "adult.csv"
    path.unlink()
    script = "import sys, pathlib\npathlib.Path(sys.argv[1], 'adult.csv').write_text('5')\n"
    write_files(request_.model.path.parent, {"make_data.py": script})
    train_model(request_, engine, reporter)
    assert path.read_text() == "5"
