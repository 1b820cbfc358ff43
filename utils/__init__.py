"""Save and load model binaries: `from utils.model_binary import load_model, save_model`. Shared by every project."""
