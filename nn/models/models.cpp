#include <tapestry/nn/models/models.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn::models {
namespace {

struct Choice {
  const char* name;
  AnyModule (*make)(Index classes);
};

constexpr Choice kZoo[] = {
    {"mlp", [](Index classes) { return AnyModule(Mlp(classes)); }},
    {"lecture_mini", [](Index classes) { return AnyModule(LectureMini(classes)); }},
    {"lecture_cnn", [](Index classes) { return AnyModule(LectureCnn(classes)); }},
    {"lecture_cnn_bn", [](Index classes) { return AnyModule(LectureCnnBn(classes)); }},
    {"lecture_vgg", [](Index classes) { return AnyModule(LectureVgg({.classes = classes})); }},
    {"lecture_vgg_bn", [](Index classes) { return AnyModule(LectureVgg({.classes = classes, .norm = true})); }},
    {"lenet5", [](Index classes) { return AnyModule(LeNet5({.classes = classes})); }},
    {"vgg11_bn",
     [](Index classes) { return AnyModule(Vgg({.configuration = VggConfiguration::A, .classes = classes})); }},
    {"vgg16_bn", [](Index classes) { return AnyModule(Vgg({.classes = classes})); }},
    {"resnet20", [](Index classes) { return AnyModule(resnet_cifar(20, classes)); }},
    {"resnet32", [](Index classes) { return AnyModule(resnet_cifar(32, classes)); }},
    {"resnet44", [](Index classes) { return AnyModule(resnet_cifar(44, classes)); }},
    {"resnet56", [](Index classes) { return AnyModule(resnet_cifar(56, classes)); }},
    {"resnet20_a", [](Index classes) { return AnyModule(resnet_cifar(20, classes, Shortcut::padded)); }},
    {"resnet56_a", [](Index classes) { return AnyModule(resnet_cifar(56, classes, Shortcut::padded)); }},
    {"resnet18", [](Index classes) { return AnyModule(resnet18(classes)); }},
    {"resnet9", [](Index classes) { return AnyModule(ResNet9(classes)); }},
    {"wrn_16_4", [](Index classes) { return AnyModule(WideResNet({.depth = 16, .width = 4, .classes = classes})); }},
    {"wrn_28_10", [](Index classes) { return AnyModule(WideResNet({.classes = classes})); }},
    {"mobilenet_v2", [](Index classes) { return AnyModule(MobileNetV2({.classes = classes})); }},
    {"mobilenet_v2_x0_5", [](Index classes) { return AnyModule(MobileNetV2({.width = 0.5, .classes = classes})); }},
    {"vit_mini", [](Index classes) { return AnyModule(Vit({.classes = classes})); }},
    {"vit_small",
     [](Index classes) { return AnyModule(Vit({.width = 384, .layers = 7, .heads = 12, .classes = classes})); }},
    {"airbench94", [](Index classes) { return AnyModule(Airbench94(classes)); }},
    {"fastnet", [](Index classes) { return AnyModule(FastNet({.classes = classes})); }},
    {"fastnet_3_4",
     [](Index classes) {
       return AnyModule(FastNet({{48, 192, 576}, {48, 144, 384}, classes}));
     }},
    {"fastnet_half",
     [](Index classes) {
       return AnyModule(FastNet({{32, 128, 384}, {32, 96, 256}, classes}));
     }},
};

}  // namespace

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const Choice& choice : kZoo) out.emplace_back(choice.name);
  return out;
}

AnyModule make(std::string_view name, Index classes, Here here) {
  const CallSite site(here);
  if (classes < 1) throw_invalid("models::make: classes must be at least 1; got {}", classes);
  std::string known;
  for (const Choice& choice : kZoo) {
    if (name == choice.name) return choice.make(classes);
    known += (known.empty() ? "" : ", ") + std::string(choice.name);
  }
  throw_invalid("models::make: the model must be one of {}; got '{}'", known, name);
}

}  // namespace tapestry::nn::models
