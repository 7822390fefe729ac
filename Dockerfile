# The competition's image: eqverify with the backends scip and marabou, and the three scripts in benchmarks/vnncomp.
#   docker build -t eqverify .
#   docker run --rm -v "$PWD:/data" eqverify reduce /data/net.onnx /data/prop.vnnlib -o /data/small.onnx
FROM python:3.11-slim
WORKDIR /opt/eqverify
COPY . .
RUN pip install --no-cache-dir '.[marabou]'
ENTRYPOINT ["eqverify"]
