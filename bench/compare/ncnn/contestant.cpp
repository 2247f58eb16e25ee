// Times ncnn on one image, as a contestant of compare (protocol: see contestant.go).
// usage: ncnn MODEL.param MODEL.bin THREADS CROPS.rgb
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "cpu.h"
#include "net.h"

static const size_t crop_bytes = 224 * 224 * 3;

static ncnn::Mat input_of(const unsigned char* crop) {
    const float mean[3] = {0.485f * 255, 0.456f * 255, 0.406f * 255};
    const float norm[3] = {1 / (0.229f * 255), 1 / (0.224f * 255), 1 / (0.225f * 255)};
    ncnn::Mat in = ncnn::Mat::from_pixels(crop, ncnn::Mat::PIXEL_RGB, 224, 224);
    in.substract_mean_normalize(mean, norm);
    return in;
}

int main(int argc, char** argv) {
    if (argc != 5) return fprintf(stderr, "usage: %s MODEL.param MODEL.bin THREADS CROPS.rgb\n", argv[0]), 2;
    const int threads = atoi(argv[3]);
    std::ifstream file(argv[4], std::ios::binary);
    const std::vector<unsigned char> crops{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (crops.size() < crop_bytes) return fprintf(stderr, "no crop in %s\n", argv[4]), 1;

    // As ncnn's own benchmark sets it: memory from pools, all else by default.
    ncnn::set_omp_dynamic(0);
    ncnn::set_omp_num_threads(threads);
    ncnn::UnlockedPoolAllocator blobs;
    ncnn::PoolAllocator workspace;
    ncnn::Net net;
    net.opt.num_threads = threads;
    net.opt.blob_allocator = &blobs;
    net.opt.workspace_allocator = &workspace;
    if (net.load_param(argv[1]) || net.load_model(argv[2])) return 1;

    double seconds = 0;
    auto classify = [&](const ncnn::Mat& in) {
        const auto start = std::chrono::steady_clock::now();
        ncnn::Mat logits;
        ncnn::Extractor ex = net.create_extractor();
        ex.input("data", in);
        ex.extract("logits", logits);
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const float* first = logits;
        return int(std::max_element(first, first + logits.w) - first);
    };

    const ncnn::Mat timed = input_of(crops.data());
    for (int i = 0; i < 5; i++) classify(timed);
    printf("{\"ready\":\"ncnn %s\"}\n", NCNN_VERSION_STRING);
    fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
        if (line == "labels") {
            printf("{\"labels\":[");
            for (size_t at = 0; at + crop_bytes <= crops.size(); at += crop_bytes)
                printf("%s%d", at ? "," : "", classify(input_of(crops.data() + at)));
        } else {
            printf("{\"seconds\":[");
            for (int i = 0; i < atoi(line.c_str()); i++) {
                classify(timed);
                printf("%s%.9f", i ? "," : "", seconds);
            }
        }
        printf("]}\n");
        fflush(stdout);
    }
}
