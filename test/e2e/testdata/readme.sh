# Steps 6 and "How to use" of the prototype's README, as printed there, with its slip D= for ID= mended.
# The test puts the running system's address in the place of 127.0.0.1:8080 and localhost:8080.

echo "== health"
curl -s http://127.0.0.1:8080/health | jq

echo "== send"
RESP=$(curl -s -X POST \
  -F "image=@images/imagenet-sample-images/n01531178_goldfinch.JPEG" \
  http://127.0.0.1:8080/predict_async)
echo "Dispatch response → $RESP"

echo "== id"
ID=$(echo "$RESP" | jq -r .request_id)
echo "Request ID → $ID"

echo "== poll"
for i in {1..5}; do
  echo -n "Attempt $i: "
  curl -s http://127.0.0.1:8080/result/"$ID" | jq
  sleep 1
done

echo "== status"
curl localhost:8080/status | jq

echo "== use"
curl -X POST -F "image=@images/imagenet-sample-images/n01531178_goldfinch.JPEG" http://127.0.0.1:8080/predict_async
curl -X GET http://127.0.0.1:8080/result/$ID
