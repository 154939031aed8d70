// A machine that plays a file of raw frames (8-bit grey, one after another), in C++.
//
//     ffmpeg -i clip.mp4 -pix_fmt gray -f rawvideo clip.raw
//     edge_cns_play ring://cart clip.raw WIDTH HEIGHT [FPS [LOOPS]]
//
// Research use only. Not a medical device.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edge_cns.h"

namespace {

struct Close {
  void operator()(edge_cns *door) const { edge_cns_close(door); }
};
using Door = std::unique_ptr<edge_cns, Close>;

int failed(const std::string &why) {
  std::fprintf(stderr, "error: %s\n", why.c_str());
  return 2;
}

// What was said of how many frames.
class Tally {
 public:
  explicit Tally(edge_cns *door) : door_(door), result_(new edge_cns_result()) {}

  void poll(int timeout_ms) {
    while (edge_cns_poll_result(door_, result_.get(), timeout_ms) == EDGE_CNS_OK) {
      const bool stated = result_->state == EDGE_CNS_CLASS;
      if (result_->classes != 0 && result_->sequence != last_)
        said_[stated ? edge_cns_class_name(door_, result_->label) : "nothing stated"]++;
      last_ = result_->sequence;
    }
  }

  void print() const {
    for (const auto &row : said_) std::printf("%-24s %d\n", row.first.c_str(), row.second);
    std::printf("exam: %s\n", result_->statement);
  }

 private:
  edge_cns *door_;
  std::unique_ptr<edge_cns_result> result_;
  std::map<std::string, int> said_;
  std::uint64_t last_ = UINT64_MAX;
};

}  // namespace

int main(int count, char **arguments) {
  if (count < 5) return failed("usage: edge_cns_play ring://NAME FILE WIDTH HEIGHT [FPS [LOOPS]]");
  edge_cns_frame frame = {};
  frame.format = EDGE_CNS_GREY8;
  frame.width = static_cast<std::uint32_t>(std::atoi(arguments[3]));
  frame.height = static_cast<std::uint32_t>(std::atoi(arguments[4]));
  const double fps = count > 5 ? std::atof(arguments[5]) : 30.0;
  const int loops = count > 6 ? std::atoi(arguments[6]) : 1;
  std::ifstream file(arguments[2], std::ios::binary);
  const std::vector<char> content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t size = static_cast<std::size_t>(frame.width) * frame.height;
  if (!file || size == 0 || content.size() < size || fps <= 0) return failed("the file has no frame of that size");

  edge_cns_caps caps = EDGE_CNS_CAPS_INIT;
  caps.max_width = frame.width;
  caps.max_height = frame.height;
  std::strcpy(caps.name, "edge_cns_play");
  edge_cns *opened = nullptr;
  if (edge_cns_open(arguments[1], &caps, &opened) != EDGE_CNS_OK) return failed(edge_cns_error());
  const Door door(opened);
  Tally tally(door.get());
  edge_cns_event(door.get(), EDGE_CNS_EXAM_START, "play");

  auto due = std::chrono::steady_clock::now();
  const auto period = std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 / fps));
  for (int loop = 0; loop < loops; loop++) {
    if (loop == 1) edge_cns_event(door.get(), EDGE_CNS_CINE, nullptr);  // seen before: no new evidence
    for (std::size_t at = 0; at + size <= content.size(); at += size) {
      edge_cns_slot slot;
      const edge_cns_status status = edge_cns_acquire_slot(door.get(), &slot);
      if (status < 0) return failed(edge_cns_error());
      if (status == EDGE_CNS_OK) {
        std::memcpy(slot.pixels, content.data() + at, size);
        if (edge_cns_submit(door.get(), &slot, &frame) < 0) return failed(edge_cns_error());
      }
      tally.poll(0);
      std::this_thread::sleep_until(due += period);
    }
  }
  tally.poll(300);
  tally.print();
  return 0;
}
