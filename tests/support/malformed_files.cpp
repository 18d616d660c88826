#include "support/malformed_files.h"

#include <array>

#include "support/cifar_pickles.h"
#include "support/idx_files.h"

namespace tapestry::test {

ByteVector safetensors_file(const std::string& header, std::size_t data_bytes) {
  ByteVector bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(std::uint64_t{header.size()} >> (8 * i)));
  for (const char c : header) bytes.push_back(static_cast<std::uint8_t>(c));
  bytes.resize(bytes.size() + data_bytes);
  return bytes;
}

std::string safetensors_header() {
  return R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
         R"("b":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}})";
}

std::vector<NamedFile> malformed_cifars() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const ByteVector& bytes) { all.push_back({name, bytes}); };
  const ByteVector whole = cifar100_records(3);
  for (const std::size_t n : {0, 1, 2, 3, 1024, 3071, 3072, 3073, 3075, 4000, 6147, 6149, 9000, 9221}) {
    add("C2 C3 " + std::to_string(n) + " bytes",
        ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
  }
  for (std::size_t more = 1; more < 40; more += 3) {
    ByteVector bytes = whole;
    bytes.resize(bytes.size() + more);
    add("C5 " + std::to_string(more) + " bytes more", bytes);
  }
  add("C6 records of CIFAR-10", cifar10_records(5));
  for (int label = 100; label < 256; label += 7) {
    add("C7 fine label " + std::to_string(label), with_byte(whole, 3074 + 1, static_cast<std::uint8_t>(label)));
  }
  for (int label = 20; label < 256; label += 17) {
    add("C7 coarse label " + std::to_string(label), with_byte(whole, 6148, static_cast<std::uint8_t>(label)));
  }
  for (std::uint8_t label = 0; label < 20; ++label) {
    if (label != whole[0]) add("C8 coarse label " + std::to_string(label), with_byte(whole, 0, label));
  }
  const std::array<std::string, 5> others{"\x1f\x8b\x08", std::string("PK\x03\x04"), "\x80\x04\x95", "<!DOCTYPE html>",
                                          "version https://git-lfs"};
  for (const std::string& text : others) {
    ByteVector bytes(text.begin(), text.end());
    add("C9 begins with " + text.substr(1, 2), bytes);
    bytes.resize(3074, 0x41);
    add("C9 of the right size begins with " + text.substr(1, 2), bytes);
  }
  return all;
}

std::vector<NamedFile> malformed_pickles() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const ByteVector& bytes) { all.push_back({name, bytes}); };
  const PickledBatch batch = PickledBatch::of_records(cifar100_records(2), true);
  const ByteVector whole = batch.file();
  const std::size_t pixels = whole.size() - 2 * 3072 - 10;  // about there; of the images not every cut is tried
  for (std::size_t n = 0; n<whole.size(); n += n> pixels && n + 400 < whole.size() ? 389 : 1) {
    add("Q1 the first " + std::to_string(n) + " bytes",
        ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
  }
  for (const std::size_t more : {1, 2, 100}) {
    ByteVector bytes = whole;
    bytes.resize(bytes.size() + more, '.');
    add("Q1 " + std::to_string(more) + " bytes more", bytes);
  }
  // Each opcode that there is, in the place of each one that comes first.
  for (std::size_t at = 0; at < 80; ++at) {
    for (const std::uint8_t code :
         {'c', 'i', 'o', 'R', 'b', 'h', 'j', 'g', 'P', 'Q', 'X', 'a', 's', 'd', 'l', '0', '2'}) {
      if (whole[at] == '}' || whole[at] == '(' || whole[at] == 'U' || whole[at] == ']') {
        add("Q2 opcode " + std::string(1, static_cast<char>(code)) + " at " + std::to_string(at),
            with_byte(whole, at, code));
      }
    }
  }
  for (const int protocol : {0, 1, 3, 4, 5, 255}) {
    add("Q3 protocol " + std::to_string(protocol), with_byte(whole, 1, static_cast<std::uint8_t>(protocol)));
  }
  const auto pickle = [&](const std::string& name, const std::string& text) {
    ByteVector bytes{0x80, 2};
    for (const char c : text) bytes.push_back(static_cast<std::uint8_t>(c));
    add(name, bytes);
  };
  pickle("Q4 a command",
         "cos\nsystem\n(U\x04"
         "true"
         "tR.");
  pickle("Q4 a command inside",
         "}(U\x04"
         "datacos\nsystem\n(U\x04"
         "truetRu.");
  pickle("Q4 eval",
         "}(U\x04"
         "datacbuiltins\neval\n(U\x01"
         "1tRu.");
  pickle("Q4 the name of a megabyte",
         "}(U\x04"
         "datac" +
             std::string(1 << 20, 'n') + "\n.");
  pickle("Q5 no keys", "}(u.");
  pickle("Q5 a hundred thousand marks", "}" + std::string(100000, '('));
  pickle("Q5 lists in lists",
         "}(U\x04"
         "more" +
             std::string(100000, ']'));
  pickle("Q5 a key twice",
         "}(U\x01"
         "aK\x01U\x01"
         "aK\x01u.");
  std::string keys = "}(";
  for (char c = 'a'; c <= 'z'; ++c) keys += std::string("U\x01") + c + "K\x01";
  pickle("Q5 many keys", keys + "u.");
  pickle("Q6 a list without end",
         "}(U\x0b"
         "fine_labels](" +
             std::string(1 << 20, 'N'));
  std::string labels =
      "}(U\x0b"
      "fine_labels](";
  for (int i = 0; i < 100000; ++i) labels += std::string("K\x01", 2);
  pickle("Q6 a hundred thousand labels", labels + "eu.");
  for (const int label : {100, 101, 200, 255}) {
    PickledBatch wrong = batch;
    wrong.fine[1] = static_cast<std::uint8_t>(label);
    add("Q7 fine label " + std::to_string(label), wrong.file());
  }
  for (const int label : {0, 2, 19, 20, 255}) {
    PickledBatch wrong = batch;
    wrong.coarse[1] = static_cast<std::uint8_t>(label);
    add("Q7 coarse label " + std::to_string(label), wrong.file());
  }
  for (const std::size_t fewer : {1, 2}) {
    PickledBatch wrong = batch;
    wrong.fine.resize(2 - fewer);
    add("Q7 fewer labels by " + std::to_string(fewer), wrong.file());
  }
  add("Q8 CIFAR-10's", PickledBatch::of_records(cifar10_records(2), false).file());
  add("Q8 names", pickled_names(numbered_names("f", 100), numbered_names("c", 20)));
  add("Q8 records", cifar100_records(2));
  // The length of the images, 'T' and four bytes.
  for (std::size_t at = 0; at + 5 < whole.size(); ++at) {
    if (whole[at] != 'T' || whole[at + 1] != 0 || whole[at + 2] != 0x18) continue;
    for (std::size_t i = 1; i < 5; ++i) {
      add("Q9 length with byte " + std::to_string(i) + " of 255", with_byte(whole, at + i, 0xFF));
    }
    break;
  }
  return all;
}

std::vector<NamedFile> malformed_idx() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const ByteVector& bytes) { all.push_back({name, bytes}); };
  const ByteVector elements{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const ByteVector plain = idx_file({2, 3, 2}, elements);
  const ByteVector stored = gzip_stored(plain);
  const ByteVector fixed = gzip_fixed(plain);
  const auto add_prefixes = [&](const std::string& name, const ByteVector& whole) {
    for (std::size_t n = 0; n < whole.size(); ++n) {
      add(name + ", the first " + std::to_string(n),
          ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
    }
  };
  add_prefixes("I1 I6 plain", plain);
  add_prefixes("I1 I6 stored", stored);
  add_prefixes("I1 I6 packed", fixed);
  for (const int type : {0, 1, 7, 9, 10, 11, 12, 13, 14, 15, 255}) {
    add("I2 I3 type " + std::to_string(type), idx_file({12}, elements, static_cast<std::uint8_t>(type)));
  }
  add("I2 the first byte", with_byte(plain, 0, 1));
  add("I2 the second byte", with_byte(plain, 1, 1));
  for (const std::size_t sides : {0, 5, 8, 255}) {
    add("I4 " + std::to_string(sides) + " sides", idx_file(std::vector<std::uint32_t>(sides, 1), {1}));
  }
  using Sides = std::vector<std::uint32_t>;
  for (const Sides& sides : {Sides{0}, Sides{12, 0}, Sides{0, 0xFFFFFFFF}, Sides{0xFFFFFFFF},
                             Sides{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, Sides{65536, 65536, 65536, 65536},
                             Sides{0x80000000, 2}, Sides{1 << 30}, Sides{13}, Sides{11}, Sides{3, 5}}) {
    std::string name;
    for (const std::uint32_t side : sides) name += " " + std::to_string(side);
    const ByteVector bytes = idx_file(sides, elements);
    add("I5 sides" + name, bytes);
    add("I5 stored, sides" + name, gzip_stored(bytes));
    add("I5 packed, sides" + name, gzip_fixed(bytes));
  }
  add("I7 the header in reverse", {3, 8, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 2});
  add("I7 the sides in reverse", joined({{0, 0, 8, 1, 12, 0, 0, 0}, elements}));
  // Of a frame all but times and names is checked: elements, CRC-32 and length.
  for (std::size_t at = stored.size() - 8 - elements.size(); at < stored.size(); ++at) {
    for (const int bit : {1, 16, 128}) {
      add("I10 byte " + std::to_string(at) + " with bit " + std::to_string(bit),
          with_byte(stored, at, static_cast<std::uint8_t>(stored[at] ^ bit)));
    }
  }
  for (const int method : {0, 7, 9, 255}) {
    add("I10 method " + std::to_string(method), with_byte(stored, 2, static_cast<std::uint8_t>(method)));
  }
  for (const int flags : {2, 4, 8, 16, 32, 64, 128, 255}) {
    add("I10 flags " + std::to_string(flags), with_byte(stored, 3, static_cast<std::uint8_t>(flags)));
  }
  add("I10 two members", joined({stored, stored}));
  add("I10 zeros behind", joined({stored, ByteVector(512)}));
  add("I10 packed twice", gzip_stored(fixed));
  // A gigabyte that its few bytes could not hold, and as much as they could.
  ByteVector bomb = stored;
  bomb[bomb.size() - 1] = 0x40;
  add("I10 a gigabyte", bomb);
  Gzip modest{deflate_fixed(idx_file({16000}, {1, 2})), idx_file({16000}, ByteVector(16000))};
  add("I10 a length that the contents do not have", modest.file());
  return all;
}

std::vector<NamedFile> malformed_safetensors() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const ByteVector& bytes) { all.push_back({name, bytes}); };
  const ByteVector whole = safetensors_file(safetensors_header(), 24);
  for (std::size_t n = 0; n < whole.size(); n += 5) {
    add("K1 K9 the first " + std::to_string(n) + " bytes",
        ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
  }
  for (std::size_t i = 0; i < 8; ++i) {
    add("K1 length with byte " + std::to_string(i) + " of 255", with_byte(whole, i, 0xFF));
  }
  for (std::size_t more = 1; more < 20; more += 4) {
    ByteVector bytes = whole;
    bytes.resize(bytes.size() + more);
    add("K9 " + std::to_string(more) + " bytes more", bytes);
  }
  const auto entry = [&](const std::string& name, const std::string& tensors, std::size_t data_bytes = 16) {
    add(name, safetensors_file("{" + tensors + "}", data_bytes));
  };
  const auto tensor = [](const std::string& name, const std::string& dtype, const std::string& shape,
                         const std::string& place) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + place + "}";
  };
  const std::string good = tensor("a", "F32", "[4]", "[0,16]");
  entry("K4 one name twice", good + "," + good);
  entry("K4 empty name", tensor("", "F32", "[4]", "[0,16]"));
  entry("K4 a name with NUL", tensor("a\\u0000b", "F32", "[4]", "[0,16]"));
  entry("K4 a name of a megabyte", tensor(std::string(1 << 20, 'n'), "F32", "[4]", "[0,16]"));
  for (const char* dtype : {"F31", "", "f32", "F16", "F8_E4M3", "U64", "C64"})
    entry(std::string("K5 dtype ") + dtype, tensor("a", dtype, "[4]", "[0,16]"));
  for (const char* shape :
       {"[-1]", "[4.0]", "[\"4\"]", "4", "null", "{}", "[4,null]", "[[4]]", "[4294967296,4294967296]",
        "[9223372036854775807,2]", "[18446744073709551615]", "[1e1]", "[4294967296,4294967296,0]",
        "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4]", "[true]", "[5]", "[3]", "[0]", "[]"}) {
    entry(std::string("K6 K10 shape ") + shape, tensor("a", "F32", shape, "[0,16]"));
  }
  for (const char* place : {"[16,0]", "[0,17]", "[0,15]", "[0,32]", "[1,17]", "[0]", "[0,8,16]", "[-16,0]",
                            "[\"0\",16]", "[0,18446744073709551615]", "[18446744073709551600,16]", "[0.0,16]", "null",
                            "16", "{}", "[9223372036854775800,9223372036854775816]", "[4,20]"}) {
    entry(std::string("K7 place ") + place, tensor("a", "F32", "[4]", place));
  }
  entry("K8 overlap", good + "," + tensor("b", "F32", "[4]", "[8,24]"), 24);
  entry("K8 the same place", good + "," + tensor("b", "F32", "[4]", "[0,16]"));
  entry("K9 a hole", good + "," + tensor("b", "F32", "[2]", "[20,28]"), 28);
  entry("K9 data beyond the last", good, 20);
  entry("K9 no data", good, 0);
  for (const char* missing :
       {"\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}", "\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}",
        "\"a\":{\"dtype\":\"F32\",\"shape\":[4]}", "\"a\":{}", "\"a\":[]", "\"a\":1", "\"a\":null"}) {
    entry(std::string("K6 entry ") + missing, missing);
  }
  entry("K6 a key twice", R"("a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]})");
  entry("K6 an unknown key", R"("a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"more":1})");
  for (const char* value : {"1", "null", "[]", "{\"a\":1}", "\"text\"", "{\"a\":{}}", "{\"a\":null}"}) {
    entry(std::string("K11 metadata ") + value, std::string("\"__metadata__\":") + value + "," + good);
  }
  std::string many = good;
  for (int i = 0; i < 70000; ++i) many += "," + tensor("t" + std::to_string(i), "F32", "[0]", "[16,16]");
  entry("K11 70,001 tensors", many);
  const std::array<std::string, 5> others{"PK\x03\x04", "\x80\x02}q", "\x89HDF\r\n\x1a\n", "\x1f\x8b\x08\x08",
                                          "\x93NUMPY"};
  for (const std::string& text : others) {
    ByteVector bytes(text.begin(), text.end());
    bytes.resize(200);
    add("K18 begins with " + text.substr(1, 2), bytes);
  }
  return all;
}

std::vector<NamedFile> malformed_json() {
  std::vector<NamedFile> all;
  const auto add = [&](const std::string& name, const std::string& header) {
    all.push_back({name, safetensors_file(header, 24)});
  };
  const std::string right = safetensors_header();
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[]",
                           "null",
                           "1",
                           "\"a\"",
                           "{}{}",
                           "{]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{a:1}",
                           "{'a':1}",
                           "{,}",
                           "nul",
                           "{\"a\":tru}",
                           "{\"a\":01}",
                           "{\"a\":1.}",
                           "{\"a\":+1}",
                           "{\"a\":.5}",
                           "{\"a\":NaN}",
                           "{\"a\":Infinity}",
                           "{\"a\":1e999}",
                           "// c\n{}",
                           "{/**/}",
                           "\xEF\xBB\xBF{}"}) {
    add(std::string("K2 ") + text, text);
  }
  for (std::size_t n = 1; n < right.size(); n += 4)
    add("K2 the first " + std::to_string(n) + " letters", right.substr(0, n));
  for (std::size_t at = 0; at < right.size(); at += 5) {
    std::string text = right;
    text[at] = '\x01';
    add("K2 a control character at " + std::to_string(at), text);
    text[at] = '\xFF';
    add("K2 a byte of no UTF-8 at " + std::to_string(at), text);
  }
  for (const char* text : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\x80", "\xC3", "\\ud800",
                           "\\udc00x", "\\u12", "\\x41"}) {
    add(std::string("K2 a bad name ") + text,
        "{\"" + std::string(text) + "\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}");
  }
  for (const std::size_t depth : {33, 1000, 100000}) {
    add("K3 " + std::to_string(depth) + " arrays", "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}");
    std::string objects;
    for (std::size_t i = 0; i < depth; ++i) objects += "{\"a\":";
    add("K3 " + std::to_string(depth) + " objects", objects + "1" + std::string(depth, '}'));
    add("K3 " + std::to_string(depth) + " arrays without end", "{\"a\":" + std::string(depth, '['));
  }
  add("K2 a number of a megabyte", "{\"a\":" + std::string(1 << 20, '9') + "}");
  add("K2 text behind", right + "x");
  return all;
}

}  // namespace tapestry::test
