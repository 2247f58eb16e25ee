"""A client in the manner of the prototype's load tester: submit, poll, print. Arguments: URL, image files."""
import json
import os
import sys
import time

try:
    import requests
except ImportError:  # the standard library alone must do
    requests = None
import urllib.request
import uuid


def post_image(url, path):
    if requests:
        with open(path, "rb") as f:
            response = requests.post(url + "/predict_async", files={"image": (os.path.basename(path), f)})
        return response.status_code, response.json()
    boundary = uuid.uuid4().hex
    with open(path, "rb") as f:
        body = (
            f"--{boundary}\r\nContent-Disposition: form-data; name=\"image\"; "
            f"filename=\"{os.path.basename(path)}\"\r\n\r\n"
        ).encode() + f.read() + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        url + "/predict_async", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    with urllib.request.urlopen(request) as response:
        return response.status, json.load(response)


def get(url):
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def main(url, paths):
    for path in paths:
        status, accepted = post_image(url, path)
        assert status in (200, 202), (status, accepted)
        for _ in range(600):
            answer = get(url + accepted["status_url"])
            if answer["status"] in ("completed", "failed"):
                break
            time.sleep(0.1)
        assert answer["status"] == "completed", answer
        assert isinstance(answer["processing_time"], float), answer
        assert len(answer["result"]["predictions"]) == 5, answer
        print(answer["filename"], answer["result"]["predictions"][0])
    status = get(url + "/status")
    assert status["total_requests"] == len(paths) and status["queue_size"] == 0, status


main(sys.argv[1], sys.argv[2:])
