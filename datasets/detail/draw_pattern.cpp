#include <tapestry/datasets/detail/draw_pattern.h>

#include <algorithm>
#include <cmath>

#include <tapestry/autograd/philox.h>

namespace tapestry::datasets {
namespace {

constexpr int kSide = 32;
constexpr float kSideF = 32;
constexpr int kPixels = kSide * kSide;

struct Rgb {
  float r, g, b;
};
struct Direction {
  float cos, sin;
};

Rgb mix(Rgb a, Rgb b, float t) { return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)}; }

/// Numbers of one picture's stream.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  float operator()(float low, float high) { return low + (high - low) * unit(); }
  int below(int n) { return static_cast<int>(unit() * static_cast<float>(n)); }
  bool coin() { return unit() < 0.5F; }

  /// Four words of block `block` of the noise, which has counters of its own.
  std::array<std::uint32_t, 4> noise(std::uint64_t block) const { return philox(seed_, block + (1ULL << 32), stream_); }

 private:
  float unit() {
    if (next_ == 4) {
      words_ = philox(seed_, block_++, stream_);
      next_ = 0;
    }
    return static_cast<float>(words_[next_++] >> 8) * 0x1p-24F;
  }

  std::uint64_t seed_, stream_, block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  std::size_t next_ = 4;
};

/// A full turn in 1,024 steps, each the one before turned by 2 pi / 1,024: library functions for sine and cosine differ
/// between systems in their last bit.
const std::array<Direction, 1024>& turn() {
  static const std::array<Direction, 1024> table = [] {
    constexpr float c = 0.99998117528260111F;
    constexpr float s = 0.00613588464915448F;
    std::array<Direction, 1024> t;
    Direction d{1, 0};
    for (Direction& entry : t) {
      entry = d;
      d = {d.cos * c - d.sin * s, d.sin * c + d.cos * s};
    }
    return t;
  }();
  return table;
}

/// `degrees` in [-360, 720).
Direction direction(float degrees) {
  const float steps = std::floor(degrees * (1024.0F / 360.0F) + 0.5F);
  return turn()[static_cast<std::size_t>(static_cast<int>(steps) + 1024) % 1024];
}

/// Hue in degrees, any; saturation and value in [0, 1].
Rgb from_hsv(float hue, float saturation, float value) {
  const float turns = hue / 360.0F;
  const float sixth = (turns - std::floor(turns)) * 6.0F;
  const auto channel = [&](float shift) {
    float k = sixth + shift;
    if (k >= 6.0F) k -= 6.0F;
    const float ramp = std::clamp(std::min(k, 4.0F - k), 0.0F, 1.0F);
    return value - value * saturation * ramp;
  };
  return {channel(5), channel(3), channel(1)};
}

/// One textured object: where it is, how it is turned, what covers it.
struct Object {
  int shape, texture;
  float x, y, radius, aspect;
  Direction turned;
  Rgb first, second;
  float blend;  // of the two colours, where plain
  Direction texture_turned;
  float frequency;         // periods per pixel
  float phase_s, phase_t;  // periods
  float duty;              // of the first colour in a stripe
};

/// Signed distance in units of the radius from point (u, v) to the edge; negative inside.
float distance(int shape, float u, float v) {
  const float a = std::abs(u);
  const float b = std::abs(v);
  switch (shape) {
    case 0: return std::max(std::min(a, b) - 0.34F, std::max(a, b) - 0.95F);
    case 1: return std::sqrt(u * u + v * v) - 0.95F;
    case 2: return std::abs(std::sqrt(u * u + v * v) - 0.78F) - 0.24F;
    case 3: return std::max(a, b) - 0.85F;
    default: return std::max(v, 0.8660254F * a - 0.5F * v) - 0.62F;
  }
}

/// Colour of the object at (dx, dy) pixels from its centre.
Rgb colour_at(const Object& o, float dx, float dy) {
  if (o.texture == 2) return mix(o.first, o.second, o.blend);
  const float s = (dx * o.texture_turned.cos + dy * o.texture_turned.sin) * o.frequency + o.phase_s;
  const float t = (dy * o.texture_turned.cos - dx * o.texture_turned.sin) * o.frequency + o.phase_t;
  const float fs = s - std::floor(s);
  const float ft = t - std::floor(t);
  bool first;
  if (o.texture == 0) first = (fs < 0.5F) == (ft < 0.5F);
  else if (o.texture == 1) first = (fs - 0.5F) * (fs - 0.5F) + (ft - 0.5F) * (ft - 0.5F) >= 0.1F;  // area pi / 10
  else first = fs < o.duty;
  return first ? o.first : o.second;
}

/// Draws the object over the picture: 2 x 2 samples per pixel, edges 0.7 pixels wide.
void paint(const Object& o, std::array<Rgb, kPixels>& picture) {
  constexpr float kReach = 1.42F;  // radii: the farthest corner of any shape, aspect included
  const float reach = o.radius * kReach;
  const int x0 = std::max(0, static_cast<int>(o.x - reach));
  const int x1 = std::min(kSide - 1, static_cast<int>(o.x + reach) + 1);
  const int y0 = std::max(0, static_cast<int>(o.y - reach));
  const int y1 = std::min(kSide - 1, static_cast<int>(o.y + reach) + 1);
  const float per_u = 1.0F / (o.radius * o.aspect);
  const float per_v = 1.0F / o.radius;
  for (int y = y0; y <= y1; ++y) {
    for (int x = x0; x <= x1; ++x) {
      Rgb sum{0, 0, 0};
      float covered = 0;
      for (int sample = 0; sample < 4; ++sample) {
        const float dx = static_cast<float>(x) + (sample % 2 == 0 ? 0.25F : 0.75F) - o.x;
        const float dy = static_cast<float>(y) + (sample < 2 ? 0.25F : 0.75F) - o.y;
        const float u = (dx * o.turned.cos + dy * o.turned.sin) * per_u;
        const float v = (dy * o.turned.cos - dx * o.turned.sin) * per_v;
        const float pixels = distance(o.shape, u, v) * o.radius;
        const float cover = std::clamp(0.5F - pixels / 0.7F, 0.0F, 1.0F);
        if (cover <= 0.0F) continue;
        const Rgb colour = colour_at(o, dx, dy);
        sum = {sum.r + cover * colour.r, sum.g + cover * colour.g, sum.b + cover * colour.b};
        covered += cover;
      }
      if (covered <= 0.0F) continue;
      Rgb& pixel = picture[static_cast<std::size_t>(y * kSide + x)];
      const float rest = 1.0F - 0.25F * covered;
      pixel = {pixel.r * rest + 0.25F * sum.r, pixel.g * rest + 0.25F * sum.g, pixel.b * rest + 0.25F * sum.b};
    }
  }
}

Rgb any_dull_colour(Draw& draw) {
  const float hue = draw(0, 360);
  const float saturation = draw(0, 0.6F);
  return from_hsv(hue, saturation, draw(0.15F, 0.85F));
}

/// A gradient between two dull colours, with smooth bumps of brightness on a 5 x 5 grid.
void paint_background(Draw& draw, std::array<Rgb, kPixels>& picture) {
  constexpr int kGrid = 5;
  constexpr float kBump = 0.18F;
  const Rgb a = any_dull_colour(draw);
  const Rgb b = any_dull_colour(draw);
  const Direction along = direction(draw(0, 360));
  std::array<float, kGrid * kGrid> bumps;
  for (float& bump : bumps) bump = draw(-kBump, kBump);
  for (int y = 0; y < kSide; ++y) {
    const float gy = static_cast<float>(y) * (static_cast<float>(kGrid - 1) / kSideF);
    const int row = static_cast<int>(gy);
    const float ty = gy - static_cast<float>(row);
    for (int x = 0; x < kSide; ++x) {
      const float gx = static_cast<float>(x) * (static_cast<float>(kGrid - 1) / kSideF);
      const int column = static_cast<int>(gx);
      const float tx = gx - static_cast<float>(column);
      const float* corner = bumps.data() + row * kGrid + column;
      const float upper = corner[0] + tx * (corner[1] - corner[0]);
      const float lower = corner[kGrid] + tx * (corner[kGrid + 1] - corner[kGrid]);
      const float bump = upper + ty * (lower - upper);
      const float dx = (static_cast<float>(x) - 15.5F) / kSideF;
      const float dy = (static_cast<float>(y) - 15.5F) / kSideF;
      const float t = std::clamp(0.5F + 0.75F * (dx * along.cos + dy * along.sin), 0.0F, 1.0F);
      const Rgb colour = mix(a, b, t);
      picture[static_cast<std::size_t>(y * kSide + x)] = {colour.r + bump, colour.g + bump, colour.b + bump};
    }
  }
}

/// Colours and texture: the second colour is the first one dulled and darkened, and either may come first.
void cover(Draw& draw, float hue, Object& o) {
  const float saturation = draw(0.55F, 1);
  const float value = draw(0.5F, 1);
  o.first = from_hsv(hue, saturation, value);
  o.second = from_hsv(hue, saturation * 0.8F, value * 0.5F);
  if (draw.coin()) std::swap(o.first, o.second);
  o.blend = draw(0, 1);
  o.texture_turned = direction(draw(0, 360));
  o.frequency = 1.0F / draw(4, 7);
  o.phase_s = draw(0, 1);
  o.phase_t = draw(0, 1);
  o.duty = draw(0.4F, 0.6F);
}

void paint_distractors(Draw& draw, std::array<Rgb, kPixels>& picture) {
  const int count = draw.below(3);
  for (int i = 0; i < count; ++i) {
    Object o{};
    o.shape = draw.below(5);
    o.texture = draw.below(4);
    o.x = draw(0, kSideF);
    o.y = draw(0, kSideF);
    o.radius = draw(2.5F, 5);
    o.aspect = 1;
    o.turned = direction(draw(0, 360));
    cover(draw, draw(0, 360), o);
    paint(o, picture);
  }
}

void paint_object(Draw& draw, PatternClass pattern, std::array<Rgb, kPixels>& picture) {
  constexpr std::array<float, 5> kHue{40, 205, 125, 350, 285};  // amber, azure, green, red, violet
  Object o{};
  o.shape = pattern.shape;
  o.texture = pattern.texture;
  o.x = draw(10.5F, 21.5F);
  o.y = draw(10.5F, 21.5F);
  o.radius = draw(7.5F, 12);
  o.aspect = draw(0.85F, 1.18F);
  o.turned = direction(draw(-43, 43));
  const float half_jitter = draw(-18, 18);
  cover(draw, kHue[static_cast<std::size_t>(pattern.colour)] + half_jitter + draw(-18, 18), o);
  paint(o, picture);
}

/// Light, then noise: per channel the sum of three uniforms of 10 bits, which has deviation 1/2 in units of their
/// range.
void develop(Draw& draw, const std::array<Rgb, kPixels>& picture, std::span<std::uint8_t, 3072> planes) {
  const float gain = draw(0.75F, 1.2F);
  const float offset = draw(-0.1F, 0.1F);
  const float noise = draw(0.04F, 0.1F) * (2.0F / 1024.0F);
  std::uint8_t* out = planes.data();
  for (std::size_t p = 0; p < kPixels; ++p) {
    const auto words = draw.noise(p);
    const std::array<float, 3> pixel{picture[p].r, picture[p].g, picture[p].b};
    for (std::size_t c = 0; c < 3; ++c) {
      const std::uint32_t sum = (words[c] & 1023U) + ((words[c] >> 10) & 1023U) + ((words[c] >> 20) & 1023U);
      const float value = pixel[c] * gain + offset + (static_cast<float>(sum) - 1534.5F) * noise;
      out[c * kPixels + p] = static_cast<std::uint8_t>(std::clamp(value, 0.0F, 1.0F) * 255.0F + 0.5F);
    }
  }
}

}  // namespace

void draw_pattern(std::uint64_t seed, std::uint64_t stream, PatternClass pattern,
                  std::span<std::uint8_t, 3072> planes) {
  Draw draw(seed, stream);
  std::array<Rgb, kPixels> picture;
  paint_background(draw, picture);
  paint_distractors(draw, picture);
  paint_object(draw, pattern, picture);
  develop(draw, picture, planes);
}

}  // namespace tapestry::datasets
