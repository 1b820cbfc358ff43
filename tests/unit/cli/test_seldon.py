import ast

import pytest
import yaml

from modelyard.codegen.seldon_package import FILES


class TestInitPackage:
    def test_it_writes_beside_what_is_there_and_keeps_it(self, modelyard, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "requirements.txt").write_text("torch\n")
        done = modelyard("seldon", "init-package")
        assert done.code == 0
        assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(FILES)
        assert (tmp_path / "requirements.txt").read_text() == "torch\n"
        assert f"{tmp_path}/requirements.txt (kept as it is)" in done.out

    def test_force_writes_over_it(self, modelyard, tmp_path):
        (tmp_path / "package").mkdir()
        (tmp_path / "package/seldon_model.py").write_text("mine\n")
        assert modelyard("seldon", "init-package", tmp_path / "package", "--force").code == 0
        assert "class SeldonModel" in (tmp_path / "package/seldon_model.py").read_text()

    def test_a_file_in_its_place_is_an_error(self, modelyard, tmp_path):
        (tmp_path / "file").write_text("")
        done = modelyard("seldon", "init-package", tmp_path / "file")
        assert done.code == 3
        assert "is no folder" in done.err

    def test_the_class_has_none_of_the_mistakes_that_the_original_had(self, modelyard, tmp_path):
        modelyard("seldon", "init-package", tmp_path)
        tree = ast.parse((tmp_path / "seldon_model.py").read_text())
        assert all(node.level == 0 for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
        methods = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert "routing" in [argument.arg for argument in methods["send_feedback"].args.args]
        called = [node.func.id for node in ast.walk(methods["predict"]) if isinstance(node, ast.Call)]
        assert called == ["prepare"]  # what training does, too


class TestGenerateDeployment:
    @pytest.fixture(autouse=True)
    def validation(self):
        pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")

    def test_names_and_defaults_are_the_originals(self, modelyard):
        done = modelyard("seldon", "generate-deployment", "registry.example/mnist:seldon", "storage:mnist/model.pkl")
        assert done.code == 0, done.err
        made = yaml.safe_load(done.out)
        assert (made["kind"], made["metadata"]["name"]) == ("SeldonDeployment", "neuro-model")
        predictor = made["spec"]["predictors"][0]
        assert predictor["graph"] == {"name": "model", "type": "MODEL", "endpoint": {"type": "REST"}}
        assert (predictor["name"], predictor["replicas"]) == ("predictor", 1)
        pod = predictor["componentSpecs"][0]["spec"]
        assert pod["imagePullSecrets"] == [{"name": "neuro-registry"}]
        assert {"name": "secret", "secret": {"secretName": "neuro", "optional": True}} in pod["volumes"]
        assert pod["initContainers"][0]["args"][0].endswith("neuro cp storage:mnist/model.pkl /storage")
        assert pod["containers"][0]["image"] == "registry.example/mnist:seldon"
        assert {"name": "storage", "mountPath": "/storage", "readOnly": True} in pod["containers"][0]["volumeMounts"]

    def test_a_model_in_s3_is_got_by_the_image_itself(self, modelyard):
        options = ("--name", "test", "--neuro-secret", "aws", "--registry-secret", "own")
        done = modelyard("seldon", "generate-deployment", *options, "registry.example/mnist:v1", "s3://b/model.pkl")
        pod = yaml.safe_load(done.out)["spec"]["predictors"][0]["componentSpecs"][0]["spec"]
        init = pod["initContainers"][0]
        assert (init["image"], init["args"]) == ("registry.example/mnist:v1", ["s3://b/model.pkl", "/storage"])
        assert {one["valueFrom"]["secretKeyRef"]["name"] for one in init["env"] if "valueFrom" in one} == {"aws"}
        assert pod["securityContext"]["runAsNonRoot"] is True

    def test_an_address_can_not_run_commands(self, modelyard):
        done = modelyard("seldon", "generate-deployment", "a/b", "storage:x; rm -rf /")
        pod = yaml.safe_load(done.out)["spec"]["predictors"][0]["componentSpecs"][0]["spec"]
        assert pod["initContainers"][0]["args"][0].endswith("neuro cp 'storage:x; rm -rf /' /storage")

    @pytest.mark.parametrize(
        ("image", "storage", "said"),
        [
            ("image:examples/mnist:seldon", "storage:a", "Neu.ro's own registry"),
            ("a/b", "/model.pkl", "no place for a model"),
        ],
    )
    def test_what_a_cluster_could_not_get_is_an_error(self, modelyard, image, storage, said):
        done = modelyard("seldon", "generate-deployment", image, storage)
        assert done.code == 3
        assert said in done.err


class TestSecrets:
    def test_a_store_secret_goes_to_standard_output(self, modelyard, monkeypatch, tmp_path):
        pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        done = modelyard("k8s", "generate-secret", "--name", "test")
        assert yaml.safe_load(done.out)["metadata"] == {"name": "test"}
        assert "a2V5" in done.out and "a2V5" not in done.err
