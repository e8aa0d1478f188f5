"""What `scale_model.py` is made of: unit costs and how they are measured, queues, stages, tables."""
