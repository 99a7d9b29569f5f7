"""Boxes and detections as plain tensors."""
