// A custom model trained for a few steps on the embedded data set, and a look at what the tape recorded.
//
//   quickstart [GRAPH.dot]     also writes the recorded graph in Graphviz's language
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>

#include <tapestry/tapestry.h>

using namespace tapestry;

// A model is a class with a call operator. child() notes a part under its name and returns it.
class LectureNet : public nn::Module {
 public:
  explicit LectureNet(Index classes)
      : conv1_{child("conv1", nn::Conv2d{3, 16, {.kernel = 3, .padding = 1}})},
        conv2_{child("conv2", nn::Conv2d{16, 32, {.kernel = 3, .padding = 1}})},
        fc_{child("fc", nn::Linear{8 * 8 * 32, classes})} {}

  Tensor operator()(Tensor x) const {                // x [N, 32, 32, 3]
    x = max_pool2d(relu(conv1_(x)), {.kernel = 2});  //   [N, 16, 16, 16]
    x = max_pool2d(relu(conv2_(x)), {.kernel = 2});  //   [N, 8, 8, 32]
    return fc_(flatten(x));                          //   [N, classes]
  }

 private:
  nn::Conv2d conv1_, conv2_;
  nn::Linear fc_;
};

int main(int argc, char** argv) try {
  manual_seed(1);

  // 20 coarse classes of colour and texture; pictures of bytes become numbers around 0.
  const datasets::Compose to_numbers{datasets::ToFloat(), datasets::Normalize({.4, .4, .4}, {.2, .2, .2})};
  const datasets::Patterns train({.size = 2048, .labels = datasets::Labels::coarse, .transform = to_numbers});

  LectureNet model(20);
  optim::SGD sgd(model.parameters(), {.lr = 0.05, .momentum = 0.9});
  int step = 0;
  for (auto [images, labels] : datasets::Loader(train, {.batch = 64, .shuffle = true, .seed = 7})) {
    const Tensor loss = cross_entropy(model(images), labels);
    if (step == 0) std::cout << Tape::of(loss) << "\n";
    if (step == 0 && argc > 1) std::ofstream(argv[1]) << Tape::of(loss).to_dot();
    sgd.zero_grad();
    loss.backward();
    sgd.step();
    if (step++ % 4 == 0) std::printf("step %2d   loss %.4f\n", step, loss.item());
  }
} catch (const std::exception& error) {
  std::cerr << "quickstart: " << error.what() << "\n";
  return 1;
}
