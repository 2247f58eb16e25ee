"""Tests of resnet18cloud.py against a dispatcher. "go test ./client" runs them with its address in RESNET18_URL.

Its classifier answers at once, except for images that are called slow.jpg, and refuses those that are called broken.jpg.
"""

import http.server
import os
import threading
import unittest

import resnet18cloud
from resnet18cloud import Client, Error, Image

URL = os.environ.get("RESNET18_URL", "")


def picture(name: str) -> Image:
    return Image(name, b"\xff\xd8" + name.encode())


@unittest.skipUnless(URL, "RESNET18_URL is not set")
class AgainstADispatcher(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client(URL + "/")

    def test_predict(self) -> None:
        result = self.client.predict(picture('a "quoted"\n näme.jpg'), deadline=30, priority="bulk")
        self.assertEqual(result.predictions[0], "goldfinch")
        self.assertEqual(len(self.client.predict(picture("a.jpg"), top_k=3).predictions), 3)
        self.assertEqual(self.client.embed(picture("a.jpg"), normalize=True).embedding, [3, 4])
        with self.assertRaises(TypeError):
            self.client.predict(picture("a.jpg"), prioritee="bulk")

    def test_errors(self) -> None:
        for code, call in {
            "undecodable": lambda: self.client.predict(picture("broken.jpg")),
            "invalid": lambda: self.client.predict(picture("a.jpg"), top_k=4000),
            "not_found": lambda: self.client.result("nobody"),
        }.items():
            with self.assertRaises(Error) as raised:
                call()
            self.assertEqual(raised.exception.code, code)
            self.assertGreaterEqual(raised.exception.status, 400)

    def test_submit(self) -> None:
        ticket = self.client.submit(picture("submit.jpg"), idempotency_key="python")
        self.assertEqual(self.client.submit(picture("submit.jpg"), idempotency_key="python").request_id, ticket.request_id)
        outcome = self.client.wait(ticket.request_id)
        self.assertEqual((outcome.status, outcome.filename, outcome.ended), ("completed", "submit.jpg", True))
        self.assertEqual(outcome.answer().predictions[0], "goldfinch")
        self.assertLessEqual(outcome.queued_at, outcome.completed_at)
        slow = self.client.submit(picture("slow.jpg"))
        self.assertEqual(self.client.cancel(slow.request_id).status, "cancelled")
        with self.assertRaises(Error):
            self.client.wait(slow.request_id).answer()

    def test_batch(self) -> None:
        items = self.client.submit_batch([picture("1.jpg"), picture("broken.jpg")], idempotency_key="batch")
        ids = [i.ticket.request_id for i in items]
        ends = {o.request_id: o for o in self.client.watch(*ids, "00000000-0000-0000-0000-000000000000") if o.ended}
        self.assertEqual([ends[i].status for i in ids], ["completed", "failed"])
        self.assertEqual(ends["00000000-0000-0000-0000-000000000000"].status, "missing")
        self.assertEqual([o.status for o in self.client.watch(ids[0])], ["completed"])
        self.assertIn(ids[0], [o.request_id for o in self.client.results(50)])

    def test_server(self) -> None:
        self.assertEqual(self.client.labels(), ["ant", "bee"])
        self.assertEqual(self.client.status()["queue_metrics"]["queue_capacity"], 200)
        self.assertTrue(self.client.ready())
        self.assertTrue(self.client.webhook_secret().startswith("whsec_"))
        with self.assertRaises(Error) as raised:
            self.client.submit(picture("a.jpg"), webhook="https://example.com/")
        self.assertEqual(raised.exception.code, "forbidden")


class Webhooks(unittest.TestCase):
    def test_read(self) -> None:
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        body = b'{"test": 2432232314}'
        headers = {"Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "Webhook-Timestamp": "1614265330",
                   "Webhook-Signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
        age = resnet18cloud.time.time() - 1614265330
        self.assertEqual(resnet18cloud.read_webhook(secret, headers, body, age + 60).raw["test"], 2432232314)
        with self.assertRaisesRegex(ValueError, "about one image"):
            resnet18cloud.read_batch_webhook(secret, headers, body, age + 60)
        for wrong in ((secret, headers, body), (secret, headers, body + b" ", age + 60), ("whsec_AAAA", headers, body, age + 60),
                      (secret, {**headers, "Webhook-Id": "x"}, body, age + 60), (secret, {}, body, age + 60)):
            with self.assertRaises(ValueError):
                resnet18cloud.read_webhook(*wrong)


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers each request with the next step of the test: status, headers, body."""

    steps: list = []
    seen: list = []

    def do_GET(self) -> None:  # noqa: N802
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(self)
        status, headers, body = self.steps.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


class AgainstAScript(unittest.TestCase):
    def setUp(self) -> None:
        Scripted.steps, Scripted.seen = [], []
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Scripted)
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)
        self.pauses = []
        real = resnet18cloud.time.sleep
        resnet18cloud.time.sleep = self.pauses.append
        self.addCleanup(setattr, resnet18cloud.time, "sleep", real)
        self.client = Client(f"http://127.0.0.1:{self.server.server_port}", token="r18_x\n", attempts=3)

    def test_retry_after(self) -> None:
        full = (503, {"Retry-After": "4"}, b'{"error":"Queue is full","code":"full","retry_after":3.5}')
        Scripted.steps = [full, (429, {"Retry-After": "2"}, b"busy"), (202, {}, b'{"request_id":"x"}')]
        self.assertEqual(self.client.submit(picture("a.jpg")).request_id, "x")
        self.assertTrue(3.5 <= self.pauses[0] <= 4.4 and 2 <= self.pauses[1] <= 2.5, self.pauses)
        self.assertEqual(Scripted.seen[2].headers["Authorization"], "Bearer r18_x")

    def test_ends(self) -> None:
        full = (503, {}, b'{"error":"Queue is full","code":"full","retry_after":1}')
        for steps, requests in (([full] * 3, 3), ([(503, {}, b'{"error":"x","code":"full","retry_after":31}')], 1),
                                ([(400, {}, b"no JSON")], 1), ([(302, {"Location": "http://example.com/"}, b"")], 1)):
            Scripted.steps, Scripted.seen = list(steps), []
            with self.assertRaises(Error):
                self.client.submit(picture("a.jpg"))
            self.assertEqual(len(Scripted.seen), requests)

    def test_one_type_of_error(self) -> None:
        away = Client("http://127.0.0.1:1", attempts=2)
        calls = [lambda c: c.predict(picture("a.jpg")), lambda c: c.submit_batch([picture("a.jpg")]), lambda c: c.result("x"),
                 lambda c: c.cancel("x"), lambda c: list(c.watch("x")), lambda c: c.ready(), lambda c: c.status()]
        for call in calls:
            with self.assertRaises(Error) as raised:
                call(away)
            self.assertEqual((raised.exception.code, raised.exception.status), ("unreachable", 0))
            self.assertIn("no server answers at http://127.0.0.1:1: ", str(raised.exception))
            self.assertIsInstance(raised.exception.__cause__, OSError)
        for body in (b"<html>", b"[]", b"{}"):
            for call in (lambda c: c.predict(picture("a.jpg")), lambda c: c.submit_batch([picture("a.jpg")]), lambda c: c.results()):
                Scripted.steps = [(200, {}, body)]
                with self.assertRaisesRegex(Error, f"{self.client.url} does not answer as a dispatcher"):
                    call(self.client)
        Scripted.steps = [(404, {}, b"no JSON")]
        with self.assertRaisesRegex(Error, f"{self.client.url} answers 404"):
            self.client.status()
        for url in ("127.0.0.1:8080", "", "ftp://x"):
            with self.assertRaisesRegex(Error, "is not the URL of a server"):
                Client(url)
        with self.assertRaises(OSError):
            self.client.predict("missing.jpg")

    def test_batch_without_room(self) -> None:
        body = b'{"items":[{"request_id":"a"},{"error":"Queue is full","code":"full","retry_after":2},{"error":"bad","code":"unsupported"}]}'
        Scripted.steps = [(202, {}, body), (202, {}, b'{"request_id":"b"}')]
        items = self.client.submit_batch([picture("a"), picture("b"), picture("c"), picture("d")], idempotency_key="k")
        self.assertEqual([i.ticket.request_id if i.ticket else i.error.code for i in items], ["a", "b", "unsupported", "invalid"])
        self.assertEqual(Scripted.seen[1].headers["Idempotency-Key"], "k/1")
        self.assertEqual(Scripted.seen[1].headers["X-Priority"], "bulk")

    def test_watch_continues(self) -> None:
        stream = {"Content-Type": "text/event-stream"}
        Scripted.steps = [
            (200, stream, b'id: 01\nevent: result\ndata: {"request_id":"a","status":"completed"}\n\n'),
            (200, stream, b':\n\nid: 03\nevent: result\ndata: {"request_id":"b","status":"failed","error":"x"}\n\nid: 03\nevent: end\ndata: {}\n\n'),
        ]
        self.assertEqual([o.status for o in self.client.watch("a", "b")], ["completed", "failed"])
        self.assertEqual([s.headers["Last-Event-ID"] for s in Scripted.seen], [None, "01"])


if __name__ == "__main__":
    unittest.main()
