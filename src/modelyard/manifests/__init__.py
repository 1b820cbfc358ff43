"""Kubernetes objects as plain values, written as YAML, validated strictly. Pure: it knows no engine and no cluster."""
