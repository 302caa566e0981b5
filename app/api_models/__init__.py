"""The API's schemas and literals. Routes, the Python client and the commands share them.

The package needs pydantic and app.finetune alone: the client's distribution contains it (see client/).
"""
