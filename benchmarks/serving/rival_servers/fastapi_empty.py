"""FastAPI with a route that does nothing: `fastapi_empty.py PORT`. What the framework alone costs."""

import sys

import fastapi
import uvicorn

app = fastapi.FastAPI()


@app.post("/predict")
async def predict() -> dict[str, float]:
    """Nothing."""
    return {"probability": 0.5}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
