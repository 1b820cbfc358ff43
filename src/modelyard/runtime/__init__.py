"""What runs inside an image: standard library only, except the gateway, which has Flask in its own environment."""
