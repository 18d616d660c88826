#include "support/malformed_pictures.h"

#include <algorithm>
#include <array>

#include "support/jpeg_files.h"
#include "support/png_files.h"

namespace tapestry::test {

std::vector<NamedFile> malformed_pngs() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const ByteVector& bytes) { all.push_back({name, bytes}); };
  const Png grey;
  const ByteVector ihdr = grey.ihdr();
  const ByteVector idat = grey.idat();
  const ByteVector iend = Png::iend();
  const auto with_body = [&](std::size_t at, std::uint8_t value) {  // IHDR with another byte, its checksum right
    ByteVector body(ihdr.begin() + 8, ihdr.end() - 4);
    return png_of_chunks({png_chunk("IHDR", with_byte(body, at, value)), idat, iend});
  };

  add("P3 IHDR twice", png_of_chunks({ihdr, ihdr, idat, iend}));
  add("P3 IHDR late", png_of_chunks({png_chunk("tEXt", {}), ihdr, idat, iend}));
  add("P3 IHDR short", png_of_chunks({png_chunk("IHDR", ByteVector(12)), idat, iend}));
  add("P4 width 0", with_body(3, 0));
  add("P4 width 2^31", with_body(0, 0x80));
  add("P4 16,000 x 16,000 in a few bytes", Png{.width = 16000, .height = 16000, .raw = ByteVector(200)}.file());
  for (const std::uint8_t type : ByteVector{1, 5, 7}) add("P5 colour type " + std::to_string(type), with_body(9, type));
  add("P5 depth 3", with_body(8, 3));
  add("P5 RGB of 2 bits", Png{.depth = 2, .type = 2}.file());
  add("P5 compression 1", with_body(10, 1));
  add("P5 filter method 1", with_body(11, 1));
  add("P5 interlacing 2", with_body(12, 2));

  const Png palette{.type = 3, .palette = ByteVector(6, 99)};
  add("P6 no PLTE", png_of_chunks({palette.ihdr(), palette.idat(), iend}));
  add("P6 PLTE of 5 bytes", Png{.type = 3, .palette = ByteVector(5)}.file());
  add("P6 PLTE empty", png_of_chunks({palette.ihdr(), png_chunk("PLTE", {}), palette.idat(), iend}));
  add("P6 PLTE of 257 entries", Png{.type = 3, .palette = ByteVector(771)}.file());
  add("P6 more entries than the depth has", Png{.depth = 1, .type = 3, .palette = ByteVector(9)}.file());
  add("P6 PLTE twice", png_of_chunks({palette.ihdr(), palette.plte(), palette.plte(), palette.idat(), iend}));
  add("P6 PLTE late", png_of_chunks({palette.ihdr(), palette.idat(), palette.plte(), iend}));
  add("P6 PLTE in a grey picture", Png{.palette = ByteVector(6)}.file());
  ByteVector beyond = palette.rows();
  beyond[30] = 9;
  add("P7 index beyond PLTE", Png{.type = 3, .palette = ByteVector(6, 99), .raw = beyond}.file());
  add("P7 index beyond PLTE, 4 bits",
      Png{.width = 2, .height = 1, .depth = 4, .type = 3, .palette = ByteVector(6), .raw = {0, 0x05}}.file());
  add("P8 tRNS longer than PLTE", Png{.type = 3, .palette = ByteVector(6), .transparency = ByteVector(3)}.file());
  add("P8 tRNS before PLTE",
      png_of_chunks({palette.ihdr(), png_chunk("tRNS", ByteVector(1)), palette.plte(), palette.idat(), iend}));
  add("P8 tRNS of 3 bytes for grey", Png{.transparency = ByteVector(3)}.file());
  add("P8 tRNS beside alpha", Png{.type = 6, .transparency = ByteVector(6)}.file());
  add("P8 tRNS after IDAT", png_of_chunks({ihdr, idat, png_chunk("tRNS", ByteVector(2)), iend}));

  const ByteVector whole = grey.file();
  add("P9 checksum of IHDR", with_byte(whole, 32, static_cast<std::uint8_t>(whole[32] ^ 1)));
  add("P9 checksum of IDAT",
      with_byte(whole, whole.size() - 13, static_cast<std::uint8_t>(whole[whole.size() - 13] ^ 1)));
  add("P9 checksum of IEND", with_byte(whole, whole.size() - 1, static_cast<std::uint8_t>(whole.back() ^ 1)));
  const ByteVector stream = grey.stream();
  const ByteVector raw = grey.rows();
  add("P10 wrong Adler-32",
      grey.with_stream(with_byte(stream, stream.size() - 1, static_cast<std::uint8_t>(stream.back() ^ 1))));
  add("P10 no Adler-32", grey.with_stream(ByteVector(stream.begin(), stream.end() - 4)));
  add("P10 bytes after Adler-32", grey.with_stream(joined({stream, {0}})));
  add("P11 a byte too many", grey.with_stream(zlib_frame(deflate_stored(ByteVector(73)), ByteVector(73))));
  add("P11 a byte too few", grey.with_stream(zlib_frame(deflate_stored(ByteVector(71)), ByteVector(71))));
  DeflateBits bomb = fixed_block();  // 8 x 8 pixels that become 2.58 MB
  bomb.put_fixed(0);
  for (int i = 0; i < 10000; ++i) {
    bomb.put_fixed(285);
    bomb.put_code(0, 5);
  }
  bomb.put_fixed(256);
  add("P11 a bomb", grey.with_stream(zlib_frame(bomb.bytes(), raw)));
  for (const std::uint32_t code : {30U, 31U}) {
    DeflateBits bits = fixed_block();
    bits.put_fixed(0);
    bits.put_fixed(257);
    bits.put_code(code, 5);
    bits.put_fixed(256);
    add("P12 distance code " + std::to_string(code), grey.with_stream(zlib_frame(bits.bytes(), raw)));
  }
  DeflateBits before = fixed_block();
  before.put_fixed(0);
  before.put_fixed(257);
  before.put_code(3, 5);
  before.put_fixed(256);
  add("P12 a copy from before the beginning", grey.with_stream(zlib_frame(before.bytes(), raw)));
  for (const std::uint32_t symbol : {286U, 287U}) {
    DeflateBits bits = fixed_block();
    bits.put_fixed(symbol);
    add("P12 length code " + std::to_string(symbol), grey.with_stream(zlib_frame(bits.bytes(), raw)));
  }
  add("P12 block of kind 3", grey.with_stream(zlib_frame({7}, raw)));
  add("P12 zlib header", grey.with_stream(with_byte(stream, 1, 2)));
  add("P12 stored length without its inverse", grey.with_stream(with_byte(stream, 5, 0)));
  for (int filter = 5; filter < 256; filter += 50) {
    Png bad = grey;
    bad.raw = with_byte(raw, 9, static_cast<std::uint8_t>(filter));
    add("P13 filter " + std::to_string(filter), bad.file());
  }
  add("P14 no IDAT", png_of_chunks({ihdr, iend}));
  add("P14 empty IDAT", grey.with_stream({}));
  const std::span<const std::uint8_t> halves(stream);
  add("P15 IDAT, text, IDAT", png_of_chunks({ihdr, png_chunk("IDAT", halves.first(20)), png_chunk("tEXt", {}),
                                             png_chunk("IDAT", halves.subspan(20)), iend}));
  add("P15 IEND with a byte", png_of_chunks({ihdr, idat, png_chunk("IEND", ByteVector(1))}));
  add("P15 a byte after IEND", joined({whole, {0}}));
  add("P15 a PNG after IEND", joined({whole, whole}));
  for (const std::uint8_t top : ByteVector{0x7F, 0xFF}) {
    ByteVector bytes = whole;
    bytes[33] = top;
    bytes[34] = bytes[35] = bytes[36] = 0xFF;
    add("P16 chunk length " + std::to_string(top) + " ff ff ff", bytes);
  }
  add("P17 unknown critical chunk", png_of_chunks({ihdr, png_chunk("ABCD", {}), idat, iend}));
  add("P17 CgBI", png_of_chunks({png_chunk("CgBI", ByteVector(4)), ihdr, idat, iend}));
  add("P17 a chunk name with a digit", png_of_chunks({ihdr, png_chunk("te1t", {}), idat, iend}));
  return all;
}

std::vector<NamedFile> malformed_jpegs() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const ByteVector& bytes) { all.push_back({name, bytes}); };
  const Jpeg grey;
  const Jpeg colour{.parts = {{1, 2, 2}, {2, 1, 1}, {3, 1, 1}}};
  const ByteVector tables = jpeg_tables();
  const auto with = [&](const Jpeg& jpeg, const ByteVector& middle) {
    return joined({kJpegBegin, tables, jpeg.frame(), middle, kJpegEnd});
  };
  const auto framed = [&](Jpeg jpeg) { return with(jpeg, grey.scan({0})); };

  add("J1 SOI and EOI", joined({kJpegBegin, kJpegEnd}));
  add("J1 SOI and half a marker", {0xFF, 0xD8, 0xFF});
  add("J2 no scan", with(grey, {}));
  add("J2 no frame", joined({kJpegBegin, tables, kJpegEnd}));
  add("J2 a scan before the frame", joined({kJpegBegin, tables, grey.scan({0}), kJpegEnd}));
  add("J2 two frames", joined({kJpegBegin, tables, grey.frame(), grey.frame(), grey.scan({0}), kJpegEnd}));
  const ByteVector scan = grey.scan({0});
  add("J4 a scan that is cut, with EOI", with(grey, ByteVector(scan.begin(), scan.end() - 5)));
  add("J4 a scan with bytes left", with(grey, joined({scan, {0x12, 0x34}})));
  const auto with_dht = [&](ByteVector counts_and_symbols) {
    return joined({kJpegBegin, jpeg_quantiser(), jpeg_dc_table(), jpeg_segment(0xC4, counts_and_symbols), grey.frame(),
                   scan, kJpegEnd});
  };
  ByteVector many{0x10, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0};
  many.resize(17 + 510);
  add("J5 510 symbols", with_dht(many));
  add("J5 4,080 symbols", with_dht([] {
        ByteVector body{0x10};
        body.insert(body.end(), 16, 255);
        body.resize(17 + 4080);
        return body;
      }()));
  ByteVector crowded{0x10, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3};
  add("J5 three codes of one bit", with_dht(crowded));
  add("J5 fewer symbols than counts", with_dht({0x10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3}));
  add("J5 half a table", with_dht({0x10, 0, 2}));
  add("J5 a table of kind 2", with_dht({0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  add("J5 table 4", with_dht({0x14, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  add("J5 a difference of 16 bits", with_dht({0x01, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16}));
  add("J6 no AC table", joined({kJpegBegin, jpeg_quantiser(), jpeg_dc_table(), grey.frame(), scan, kJpegEnd}));
  add("J6 no DC table", joined({kJpegBegin, jpeg_quantiser(), jpeg_ac_table(), grey.frame(), scan, kJpegEnd}));
  add("J6 no quantiser", joined({kJpegBegin, jpeg_dc_table(), jpeg_ac_table(), grey.frame(), scan, kJpegEnd}));
  add("J6 another quantiser",
      joined({kJpegBegin, jpeg_quantiser(1), jpeg_dc_table(), jpeg_ac_table(), grey.frame(), scan, kJpegEnd}));
  add("J6 a quantiser of 10 bytes",
      joined({kJpegBegin, jpeg_segment(0xDB, ByteVector(10)), tables, grey.frame(), scan, kJpegEnd}));
  add("J6 a step of 0",
      joined({kJpegBegin, jpeg_quantiser(0, 0), jpeg_dc_table(), jpeg_ac_table(), grey.frame(), scan, kJpegEnd}));
  add("J6 tables that come after the scan", joined({kJpegBegin, grey.frame(), scan, tables, kJpegEnd}));
  add("J6 table 9", with(grey, joined({grey.scan_header({0}, 0, 63, 0, 0, 0x99), {0}})));
  add("J7 a component that is never coded", with(colour, joined({colour.scan({0}), colour.scan({1})})));
  add("J7 a component coded twice",
      with(colour, joined({colour.scan({0}), colour.scan({1}), colour.scan({1}), colour.scan({2})})));
  add("J7 all coded twice", with(grey, joined({scan, scan})));
  Jpeg twins = colour;
  twins.parts[2].id = 2;
  add("J7 two components of one name", twins.file());
  add("J7 one component twice in a scan", with(colour, colour.scan({0, 1, 1})));
  add("J7 a component of no frame", with(grey, Jpeg{.parts = {{7, 1, 1}}}.scan({0})));
  add("J7 a scan of no component", with(grey, jpeg_segment(0xDA, {0, 0, 63, 0})));
  add("J7 a scan header of 5 bytes", with(grey, jpeg_segment(0xDA, {1, 1, 0})));
  Jpeg progressive = grey;
  progressive.frame_marker = 0xC2;
  add("J8 progressive without DC", with(progressive, progressive.scan({0}, 1, 63)));
  add("J8 refined before it is coded", with(progressive, progressive.scan({0}, 0, 0, 1, 0)));
  add("J8 a bit left out",
      with(progressive, joined({progressive.scan({0}, 0, 0, 0, 2), progressive.scan({0}, 0, 0, 1, 0)})));
  add("J8 a band twice", with(progressive, joined({progressive.scan({0}, 0, 0), progressive.scan({0}, 1, 9),
                                                   progressive.scan({0}, 9, 63)})));
  add("J8 DC and AC in one scan", with(progressive, progressive.scan({0}, 0, 63)));
  add("J8 a band that ends first",
      with(progressive, joined({progressive.scan({0}, 0, 0), progressive.scan_header({0}, 9, 5)})));
  add("J8 coefficient 64",
      with(progressive, joined({progressive.scan({0}, 0, 0), progressive.scan_header({0}, 1, 64)})));
  add("J8 baseline with a band", with(grey, grey.scan({0}, 0, 5)));
  add("J8 bit 14", with(progressive, progressive.scan_header({0}, 0, 0, 0, 14)));
  add("J8 300 scans", with(progressive, [&] {
        ByteVector bytes = progressive.scan({0}, 0, 0, 0, 0);
        for (int i = 0; i < 300; ++i) append(bytes, progressive.scan({0}, 1 + i % 63, 1 + i % 63));
        return bytes;
      }()));
  Jpeg restarts = grey;
  restarts.restart_interval = 1;
  const ByteVector right = restarts.scan({0});  // four blocks, three markers
  const auto marker = [&](std::uint8_t which) {
    for (std::size_t at = 10; at + 1 < right.size(); ++at) {
      if (right[at] == 0xFF && right[at + 1] == which) return at;
    }
    return std::size_t{0};
  };
  add("J9 markers in another order",
      with(grey, joined({restarts.interval(), with_byte(right, marker(0xD1) + 1, 0xD2)})));
  add("J9 a marker too few", with(grey, joined({restarts.interval(), [&] {
                                                  ByteVector bytes = right;
                                                  const auto at =
                                                      bytes.begin() + static_cast<std::ptrdiff_t>(marker(0xD2));
                                                  bytes.erase(at, at + 2);
                                                  return bytes;
                                                }()})));
  add("J9 a marker too many", with(grey, joined({restarts.interval(), right, {0xFF, 0xD3}})));
  add("J9 markers without an interval", with(grey, right));
  add("J9 a marker early", with(grey, joined({restarts.interval(), [&] {
                                                ByteVector bytes = right;
                                                const ByteVector early{0xFF, 0xD0};
                                                bytes.insert(
                                                    bytes.begin() + static_cast<std::ptrdiff_t>(marker(0xD0)) - 3,
                                                    early.begin(), early.end());
                                                return bytes;
                                              }()})));
  add("J9 an interval of 3 bytes", with(grey, joined({jpeg_segment(0xDD, {0, 0, 1}), scan})));
  add("J10 sampling 0", framed({.parts = {{1, 0, 1}}}));
  add("J10 sampling 5", framed({.parts = {{1, 5, 1}}}));
  add("J10 sampling 3 to 2", Jpeg{.parts = {{1, 3, 1}, {2, 2, 1}, {3, 1, 1}}}.file());
  add("J11 four components without a word of what they are",
      Jpeg{.parts = {{1, 1, 1}, {2, 1, 1}, {3, 1, 1}, {4, 1, 1}}}.file());
  add("J12 two components", Jpeg{.parts = {{1, 1, 1}, {2, 1, 1}}}.file());
  add("J12 five components", framed({.parts = {{1, 1, 1}, {2, 1, 1}, {3, 1, 1}, {4, 1, 1}, {5, 1, 1}}}));
  const ByteVector whole = grey.file();
  const std::size_t frame_at = 2 + tables.size();
  add("J12 12 bits", with_byte(whole, frame_at + 4, 12));
  for (const int kind : {0xC3, 0xC5, 0xC8, 0xC9, 0xCA, 0xCC, 0xDE, 0xF0, 0x01, 0xD8}) {
    add("J12 frame marker " + std::to_string(kind), with_byte(whole, frame_at + 1, static_cast<std::uint8_t>(kind)));
  }
  add("J12 a frame of another length", with_byte(whole, frame_at + 3, 12));
  add("J13 65,535 x 65,535", framed({.width = 65535, .height = 65535}));
  add("J13 16,000 x 16,000 in a few bytes", framed({.width = 16000, .height = 16000}));
  add("J13 height 0", framed({.height = 0}));
  add("J13 a height that comes later", with(grey, joined({scan, jpeg_segment(0xDC, {0, 16})})));
  add("J14 a coefficient of 16 bits", with(grey, [&] {
        JpegBits bits;
        for (int i = 0; i < 4; ++i) {
          bits.put_dc(11);
          bits.put_signed(2047, 11);
          bits.put_ac(0xFF);  // 15 zeros, 15 bits
          bits.put_signed(32767, 15);
          for (int k = 0; k < 4; ++k) bits.put_ac(0xF0);
        }
        return joined({grey.scan_header({0}), bits.take()});
      }()));
  add("J15 two whole JPEGs", joined({whole, whole}));
  add("J15 bytes after EOI", joined({whole, {0, 0, 1}}));
  add("J15 a segment beyond the end", joined({kJpegBegin, {0xFF, 0xE1, 0xFF, 0xFF, 'E', 'x'}}));
  const std::array<std::string, 6> others{"GIF89a\x08",   "BM\x36\x30",   "8BPS\x01",
                                          "#?RADIANCE\n", "P6 8 8 255\n", std::string("\0\0\2\0\0", 5)};
  for (const std::string& text : others)
    add("J15 another kind: " + text.substr(0, 4), ByteVector(text.begin(), text.end()));
  return all;
}

}  // namespace tapestry::test
