#include <tapestry/nn/train/flops.h>

#include <support/expect.h>

#include <utility>

#include <tapestry/nn/models/models.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(flops_test)

BOOST_AUTO_TEST_CASE(the_models_of_the_zoo_cost_what_their_definitions_say) {
  const std::pair<const char*, double> macs[] = {
      {"lecture_mini", 638'976},    {"lecture_cnn", 10'871'808},      {"lecture_cnn_bn", 10'871'808},
      {"lecture_vgg", 39'183'360},  {"lecture_vgg_bn", 39'183'360},   {"lenet5", 659'280},
      {"vgg11_bn", 152'815'616},    {"vgg16_bn", 313'247'744},        {"resnet20", 40'818'944},
      {"resnet32", 69'130'496},     {"resnet44", 97'442'048},         {"resnet56", 125'753'600},
      {"resnet20_a", 40'556'800},   {"resnet56_a", 125'491'456},      {"resnet18", 555'468'800},
      {"resnet9", 379'308'032},     {"wrn_16_4", 392'635'392},        {"wrn_28_10", 5'243'386'368},
      {"vit_mini", 125'359'104},    {"vit_small", 426'486'528},       {"airbench94", 118'170'400},
      {"fastnet", 174'979'872},     {"fastnet_3_4", 101'052'576},     {"fastnet_half", 47'292'960},
      {"mobilenet_v2", 88'091'648}, {"mobilenet_v2_x0_5", 28'084'224}};
  for (const auto& [name, expected] : macs)
    BOOST_TEST(train::count_flops(nn::models::make(name, 100)) == 2 * expected, name);
}

BOOST_AUTO_TEST_CASE(smaller_images_cost_less) {
  const nn::AnyModule fastnet = nn::models::make("fastnet", 100);
  BOOST_TEST(train::count_flops(fastnet, {24, 24, 3}) == 2 * 86'635'808.);
  BOOST_TEST(train::count_flops(fastnet, {20, 20, 3}) == 2 * 66'537'504.);
}

BOOST_AUTO_TEST_CASE(the_model_stays_as_it_was) {
  nn::AnyModule model = nn::models::make("lecture_cnn_bn", 10);
  const auto before = model.parameters();
  BOOST_TEST(train::count_flops(model) > 0);
  BOOST_TEST(model.is_training());
  for (const auto& buffer : model.named_buffers()) {
    if (buffer.name == "bn1.num_batches_tracked") BOOST_TEST(buffer.tensor.item<int>() == 0);
  }
  BOOST_TEST(same_bits(model.parameters().front(), before.front()));
  BOOST_TEST(train::count_flops(nn::models::LeNet5({.classes = 10, .channels = 1, .size = 28}), {28, 28, 1}) ==
             2 * (28. * 28 * 25 * 6 + 10. * 10 * 150 * 16 + 400. * 120 + 120. * 84 + 840));
}

BOOST_AUTO_TEST_SUITE_END()
