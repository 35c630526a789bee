"""Finished pictures: drawn when they are fetched, in threads, so that the event loop never waits for one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ops.sandbox import pictures
from ops.sandbox.engine import Engine
from ops.sandbox.predictions import Prediction

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_DRAWING_THREADS = 2  # Pillow lets go of the interpreter only for parts of its work; more would just take turns


class Outputs:
    """Serves /outputs/<prediction>/<number>.<ext> without a key, as a content delivery network does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(_DRAWING_THREADS, thread_name_prefix="drawing")

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/outputs/{prediction}/{number:int}.{extension}", self._download)]

    @staticmethod
    def paths(prediction: Prediction) -> list[str]:
        """Where the prediction's pictures are, below the server's root."""
        extension = EXTENSIONS[prediction.order.format]
        return [f"outputs/{prediction.id}/{number}.{extension}" for number in range(prediction.order.images)]

    async def draw(self, prediction: Prediction, number: int) -> bytes:
        """The encoded picture, cut in half where the behaviour wants it corrupt."""
        order = prediction.order
        seed = prediction.picture_seed(number)
        drawn = await asyncio.get_running_loop().run_in_executor(
            self._threads, pictures.draw, order.prompt, seed, order.width, order.height, order.format
        )
        return drawn[: len(drawn) // 2] if self._engine.spoils(prediction, number) else drawn

    async def _download(self, request: Request) -> Response:
        prediction = self._engine.find(request.path_params["prediction"])
        number, extension = request.path_params["number"], request.path_params["extension"]
        if (
            prediction is None
            or prediction.status(self._engine.clock()) != "completed"
            or number >= prediction.order.images
            or extension != EXTENSIONS[prediction.order.format]
        ):
            return PlainTextResponse("Not Found", status_code=404)
        if request.method == "HEAD":
            return Response(media_type=f"image/{prediction.order.format}")
        picture = await self.draw(prediction, number)
        return Response(picture, media_type=f"image/{prediction.order.format}")
