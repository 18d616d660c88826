#include <support/expect.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <limits>
#include <thread>

#include <tapestry/nn/safetensors.h>

#include "text_files.h"

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(safetensors_test)

namespace {

std::string with_length(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

/// What reading these bytes says, without the name "x"; "no error" when they are fine.
std::string refusal(const std::string& file) {
  try {
    (void)nn::parse_tensors(bytes(file), "x");
    return "no error";
  } catch (const FileError& e) {
    return without_place(e.what()).substr(1);
  }
}

std::string header_refusal(const std::string& header, const std::string& data = "") {
  return refusal(with_length(header, data));
}

/// The header of one tensor "a", f32 [2], with one field replaced.
std::string one(const std::string& from = "", const std::string& to = "") {
  std::string text = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  if (!from.empty()) text.replace(text.find(from), from.size(), to);
  return text;
}

const std::string kEight(8, '\0');

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(the_golden_file_is_written_byte_for_byte_and_read) {
  const TemporaryFolder folder;
  nn::save_tensors({{"a", tensor({1.0, 2.0})}}, folder / "a.safetensors");
  std::string expected = with_length(
      R"({"__metadata__":{"tapestry.crc32c":"703b0abd","format":"pt","tapestry.crc32c.tensors":"28c0c9b1"},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} )",
      std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8));
  BOOST_TEST(read_text(folder / "a.safetensors") == expected);
  const nn::TensorFile file = nn::load_tensors(folder / "a.safetensors");
  BOOST_TEST(values(file.tensors.at("a")) == (std::vector<double>{1, 2}), boost::test_tools::per_element());
  BOOST_TEST((file.metadata == nn::Metadata{{"format", "pt"}}));
  BOOST_TEST(file.checked);
}

BOOST_AUTO_TEST_CASE(a_header_is_read_alone_and_judged_before_the_data) {
  const TemporaryFolder folder;
  const std::string path = folder / "a";
  nn::save_tensors({{"a", ones({2, 3})}, {"b", zeros({4}, {.dtype = i64})}}, path, {{"k", "v"}});
  const nn::TensorFileHeader header = nn::load_header(path);
  BOOST_TEST((header.tensors.at("a").dtype == f32 && header.tensors.at("a").shape == Shape{2, 3}));
  BOOST_TEST((header.metadata == nn::Metadata{{"format", "pt"}, {"k", "v"}}));
  BOOST_TEST((header.checked && header.data_bytes == 24 + 32));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  BOOST_CHECK_THROW((void)nn::load_header(path), FileError);
  const auto refuse = [](const nn::TensorFileHeader&) { throw std::runtime_error("not this one"); };
  nn::save_tensors({{"a", ones({2})}}, path);
  BOOST_TEST(error<std::runtime_error>([&] { (void)nn::load_tensors(path, refuse); }) == "not this one");
}

BOOST_AUTO_TEST_CASE(checksums_are_both_there_right_and_one_for_each_tensor_or_absent) {
  const TemporaryFolder folder;
  nn::save_tensors({{"a", ones({2})}, {"b", zeros({0})}, {"c", ones({1}, {.dtype = i64})}}, folder / "a");
  const std::string good = read_text(folder / "a");
  BOOST_TEST(refusal(good) == "no error");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return refusal(text);
  };
  BOOST_TEST(
      contains(with("tapestry.crc32c\"", "tapestry.crc32d\""),
               ", byte 8: expected both tapestry.crc32c and tapestry.crc32c.tensors in the metadata, or neither"));
  BOOST_TEST(contains(with("tapestry.crc32c.tensors", "tapestry.crc32c.tensorx"), "or neither; got one of them"));
  const std::size_t digits = good.find("crc32c\":\"") + 9;
  BOOST_TEST(with("[2]", "[1]")
                 .starts_with(", byte " + std::to_string(digits) + ": expected a header with its checksum, " +
                              good.substr(digits, 8) + "; got one with "));
  std::string data = good;
  data.back() = '\x7f';
  BOOST_TEST(contains(refusal(data), ": expected a with its checksum, "));
  data = good;
  data[good.size() - 16] = '\x7f';
  BOOST_TEST(contains(refusal(data), ": expected c with its checksum, "));
  // A file without them is read, and says that nothing was checked.
  const std::string foreign = with_length(one(), kEight);
  BOOST_TEST(!nn::parse_tensors(bytes(foreign), "x").checked);
  for (const char* key : {"tapestry.crc32c", "tapestry.crc32c.tensors"}) {
    BOOST_TEST(error<std::invalid_argument>([&] {
                 nn::save_tensors({}, folder / "b", {{key, "00000000"}});
               }) == "save_tensors: metadata must not have the key of a checksum; got " + std::string(key));
  }
}

BOOST_AUTO_TEST_CASE(every_dtype_scalars_and_empty_tensors_survive_and_saving_again_gives_the_same_bytes) {
  const TemporaryFolder folder;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::map<std::string, Tensor> all{{"f32", tensor({1.5, nan, -0.0})},
                                    {"f64", tensor({1e-300, -2.0}, {.dtype = f64})},
                                    {"i64", tensor({std::int64_t{-1}, std::int64_t{1} << 40})},
                                    {"i32", tensor({7, -8, 9}, {.dtype = i32})},
                                    {"u8", tensor({1, 255, 3}, {.dtype = u8})},
                                    {"bf16", full({3}, 2.5, {.dtype = bf16})},
                                    {"bool", tensor({true, false, true})},
                                    {"scalar", full({}, 3, {.dtype = i64})},
                                    {"empty", empty({0, 3})},
                                    {"umlaut \xC3\xA4 \"quoted\" \\ \n", ones({1})}};
  nn::save_tensors(all, folder / "1", {{"note", "a \"b\"\n\t\\ \xE2\x82\xAC"}, {"zero", ""}});
  const nn::TensorFile file = nn::load_tensors(folder / "1");
  BOOST_TEST(file.tensors.size() == all.size());
  for (const auto& [name, x] : all) BOOST_TEST(same_bits(file.tensors.at(name), x), name);
  BOOST_TEST(file.metadata.at("note") == "a \"b\"\n\t\\ \xE2\x82\xAC");
  nn::save_tensors(file.tensors, folder / "2", file.metadata);
  BOOST_TEST(read_text(folder / "1") == read_text(folder / "2"));
}

BOOST_AUTO_TEST_CASE(files_of_other_writers_are_read) {
  const std::string data = kEight + kEight;
  const std::string nothing = with_length("{} ");
  const auto file = nn::parse_tensors(bytes(nothing), "x");
  BOOST_TEST(file.tensors.empty());
  const auto spaced =
      nn::parse_tensors(bytes(with_length("{ \"b\" : { \"shape\" : [ 1 , 2 ] , \"data_offsets\" : [ 8 , 16 ] , "
                                          "\"dtype\" : \"F32\" } ,\n"
                                          "  \"\\u00e4\\ud83d\\ude00\\/\": "
                                          "{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]} }\t\r\n ",
                                          data)),
                        "x");
  BOOST_TEST(spaced.tensors.at("b").shape() == (Shape{1, 2}));
  BOOST_TEST(spaced.tensors.at("\xC3\xA4\xF0\x9F\x98\x80/").dtype() == f64);
}

BOOST_AUTO_TEST_CASE(k1_short_files_and_impossible_header_lengths) {
  for (std::size_t n = 0; n < 8; ++n) {
    BOOST_TEST(refusal(std::string(n, '\1')) ==
               ", byte 0: expected 8 bytes with the header's length; got " + std::to_string(n) + " bytes");
  }
  BOOST_TEST(refusal(std::string("\x40\0\0\0\0\0\0\0{}", 10)) ==
             ", byte 0: expected a header that ends within the file's 10 bytes; got a length of 64");
  BOOST_TEST(refusal(std::string(8, '\xff')) ==
             ", byte 0: expected a header of at most 16777216 bytes; got a length of 18446744073709551615");
  BOOST_TEST(refusal(std::string("\1\0\0\1\0\0\0\0", 8)) ==
             ", byte 0: expected a header of at most 16777216 bytes; got a length of 16777217");
}

BOOST_AUTO_TEST_CASE(k2_headers_that_are_no_json_object) {
  BOOST_TEST(header_refusal("") == ", byte 8: expected '{' as the header's first byte; got an empty header");
  BOOST_TEST(header_refusal(" {}") == ", byte 8: expected '{' as the header's first byte; got another");
  BOOST_TEST(header_refusal("[]") == ", byte 8: expected '{' as the header's first byte; got another");
  BOOST_TEST(header_refusal("{") == ", byte 9: expected string literal in the header; got end of input");
  BOOST_TEST(header_refusal("{}x") == ", byte 10: expected valid JSON in the header; got invalid literal");
  BOOST_TEST(header_refusal("{}{}") == ", byte 10: expected end of input in the header; got '{'");
  BOOST_TEST(header_refusal("{\"a\"}") == ", byte 12: expected ':' in the header; got '}'");
  BOOST_TEST(header_refusal("{\"a\":1}") == ", byte 13: expected an object for a; got 1");
  BOOST_TEST(header_refusal("{ \"a\" :\n null }") == ", byte 17: expected an object for a; got null");
  BOOST_TEST(header_refusal(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},})") ==
             ", byte 62: expected string literal in the header; got '}'");
  BOOST_TEST(header_refusal("{/**/}") == ", byte 9: expected valid JSON in the header; got invalid literal");
}

BOOST_AUTO_TEST_CASE(k2_strings_that_are_no_json) {
  const std::string fault = "expected valid JSON in the header; got invalid string: ";
  for (const char* bad : {"\xC3\x28", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"}) {
    // Cut, overlong, a surrogate, too large, no beginning.
    BOOST_TEST(contains(header_refusal("{\"" + std::string(bad) + "\":{}}"), fault + "ill-formed UTF-8 byte"));
  }
  BOOST_TEST(header_refusal("{\"a\xC3\x28\":{}}") == ", byte 12: " + fault + "ill-formed UTF-8 byte");
  BOOST_TEST(
      contains(header_refusal("{\"a\nb\":{}}"), ", byte 11: " + fault + "control character U+000A (LF) must be"));
  BOOST_TEST(contains(header_refusal("{\"\\x\":{}}"), ", byte 11: " + fault + "forbidden character after backslash"));
  BOOST_TEST(contains(header_refusal("{\"\\u12g4\":{}}"), ", byte 14: " + fault + "'\\u' must be followed by 4 hex"));
  BOOST_TEST(contains(header_refusal("{\"\\ud800\":{}}"), "surrogate U+D800..U+DBFF must be followed by"));
  BOOST_TEST(contains(header_refusal("{\"\\udc00\":{}}"), "surrogate U+DC00..U+DFFF must follow"));
  BOOST_TEST(contains(header_refusal("{\"a"), ", byte 11: " + fault + "missing closing quote"));
}

// The JSON library takes a zero byte for the end of its text.
BOOST_AUTO_TEST_CASE(k2_a_zero_byte_does_not_hide_what_follows) {
  BOOST_TEST(header_refusal(std::string("{}\0", 3)) ==
             ", byte 10: expected nothing behind the header's object; got 1 bytes");
  BOOST_TEST(header_refusal(std::string("{} \0 {}", 7)) ==
             ", byte 11: expected nothing behind the header's object; got 4 bytes");
  BOOST_TEST(
      contains(header_refusal(std::string("{\0\"a\":{}}", 9)), "expected string literal in the header; got end"));
}

BOOST_AUTO_TEST_CASE(k3_deep_nesting_is_refused_at_its_first_level) {
  BOOST_TEST(header_refusal("{\"a\":" + std::string(100'000, '[')) ==
             ", byte 13: expected an object for a; got a list");
  BOOST_TEST(header_refusal(R"({"a":{"shape":)" + std::string(100'000, '[')) ==
             ", byte 23: expected integers, at least 0, in the shape of a; got a list");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  BOOST_TEST(header_refusal(objects) == ", byte 14: expected dtype, shape and data_offsets for a; got a");
}

BOOST_AUTO_TEST_CASE(k4_names_that_are_twice_there_empty_long_or_with_nul) {
  const std::string entry = R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  BOOST_TEST(contains(header_refusal("{\"a\":" + entry + ",\"a\":" + entry + "}"), "each name once; got a twice"));
  BOOST_TEST(contains(header_refusal("{\"\":" + entry + "}"), "a tensor's name to not be empty"));
  BOOST_TEST(contains(header_refusal("{\"a\\u0000\":" + entry + "}"), "a tensor's name to have no NUL"));
  BOOST_TEST(contains(header_refusal("{\"" + std::string(1 << 20, 'a') + "\":" + entry + "}"),
                      "a tensor's name to have at most 1024 bytes; got one of 1048576 bytes"));
  BOOST_TEST(header_refusal("{\"" + std::string(1024, 'a') + "\":" + entry + "}") == "no error");
}

BOOST_AUTO_TEST_CASE(k5_dtypes_that_are_unknown_or_not_ours) {
  for (const std::string code : {"F16", "I8", "I16", "U16", "U32", "U64", "C64", "F8_E4M3", "f32", "X"}) {
    BOOST_TEST(contains(header_refusal(one("F32", code), kEight),
                        "F32, F64, BF16, I64, I32, U8 or BOOL as the dtype of a; got " + code),
               code);
  }
  BOOST_TEST(
      contains(header_refusal(one("\"F32\"", "32"), kEight), "byte 22: expected a string as the dtype of a; got 32"));
}

BOOST_AUTO_TEST_CASE(k6_shapes_that_cannot_be) {
  const auto refused = [](const std::string& shape) { return header_refusal(one("[2]", shape), kEight); };
  const std::string wanted = "expected integers, at least 0, in the shape of a; got ";
  BOOST_TEST(refused("[-2]") == ", byte 37: " + wanted + "-2");
  BOOST_TEST(refused("[2.0]") == ", byte 37: " + wanted + "2.0");
  BOOST_TEST(refused("[ 2e0]") == ", byte 38: " + wanted + "2e0");
  BOOST_TEST(refused("[-0]") == ", byte 37: " + wanted + "0");
  BOOST_TEST(refused("[\"2\"]") == ", byte 37: " + wanted + "a string");
  BOOST_TEST(refused("[true]") == ", byte 37: " + wanted + "true");
  BOOST_TEST(refused("[99999999999999999999]") == ", byte 37: " + wanted + "99999999999999999999");
  BOOST_TEST(refused("[1e999]") == ", byte 41: expected valid JSON in the header; got number overflow parsing '1e999'");
  BOOST_TEST(refused("[02]") == ", byte 38: expected ']' in the header; got number literal");
  BOOST_TEST(refused("2") == ", byte 36: expected a list as the shape of a; got 2");
  BOOST_TEST(refused("{}") == ", byte 36: expected a list as the shape of a; got an object");
  BOOST_TEST(refused("[9223372036854775808]") ==
             ", byte 37: expected integers below 2^63 in the shape of a; got 9223372036854775808");
  BOOST_TEST(refused("[4294967296,4294967296]") ==
             ", byte 58: expected at most 2^59 elements in a; got shape [4294967296, 4294967296]");
  BOOST_TEST(contains(refused("[288230376151711744]"), "that span the bytes of F32"));
  BOOST_TEST(contains(refused("[1,1,1,1,1,1,2]"), "at most 6 numbers in the shape of a; got more"));
}

BOOST_AUTO_TEST_CASE(k7_offsets_that_run_backwards_end_outside_or_are_not_two) {
  BOOST_TEST(contains(refusal(with_length(one("[0,8]", "[8,0]"), kEight)),
                      "data_offsets that do not run backwards; got [8, 0] for a"));
  BOOST_TEST(contains(refusal(with_length(one("[0,8]", "[0,9]"), kEight)),
                      "that end within the 8 bytes of data; got [0, 9] for a"));
  BOOST_TEST(contains(refusal(with_length(one("[0,8]", "[9223372036854775800,9223372036854775807]"), kEight)),
                      "that end within"));
  BOOST_TEST(contains(header_refusal(one("[0,8]", "[0]"), kEight), "two data_offsets for a; got 1"));
  BOOST_TEST(contains(header_refusal(one("[0,8]", "[0,8,8]"), kEight),
                      "at most 2 numbers in the data_offsets of a; got more"));
}

BOOST_AUTO_TEST_CASE(k8_and_k9_overlaps_holes_missing_and_trailing_bytes) {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
           R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}";
  };
  const std::string header = two("[0,4]", "[4,8]");
  BOOST_TEST(refusal(with_length(header, kEight)) == "no error");
  BOOST_TEST(contains(refusal(with_length(two("[0,4]", "[0,4]"), kEight)),
                      "tensors that share no bytes; got b at data byte 0 where 4 is next"));
  BOOST_TEST(contains(refusal(with_length(two("[0,4]", "[2,6]"), kEight)), "tensors that share no bytes"));
  BOOST_TEST(
      contains(refusal(with_length(two("[0,4]", "[8,12]"), kEight + "1234")), "a tensor for every byte of data"));
  BOOST_TEST(contains(refusal(with_length(header, kEight + "x")),
                      "the end of the data after the last tensor, 8 bytes; got 9 bytes"));
  BOOST_TEST(contains(refusal(with_length(header, "1234567")), "that end within the 7 bytes of data"));
  std::string many = "{";
  for (int i = 0; i < 60'000; ++i) {
    many += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  }
  BOOST_TEST(contains(refusal(with_length(many + "}", kEight)), "tensors that share no bytes"));
}

BOOST_AUTO_TEST_CASE(k10_bytes_that_are_not_what_the_shape_needs) {
  BOOST_TEST(contains(refusal(with_length(one("[2]", "[3]"), kEight)),
                      "data_offsets that span the bytes of F32 [3]; got [0, 8] for a"));
  BOOST_TEST(contains(refusal(with_length(one("[2]", "[1]"), kEight)), "data_offsets that span the bytes of F32 [1]"));
  BOOST_TEST(contains(refusal(with_length(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\1\2")),
                      ", byte 64: expected 0 or 1 as a bool of a; got 2"));
}

BOOST_AUTO_TEST_CASE(k11_too_many_entries_and_metadata_that_is_no_string) {
  std::string many = "{";
  for (int i = 0; i < 65'537; ++i)
    many += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  BOOST_TEST(contains(header_refusal(many + "}"), "at most 65536 entries; got more"));
  BOOST_TEST(contains(header_refusal(R"({"__metadata__":{"a":1}})"),
                      "byte 29: expected a string for a of the metadata; got 1"));
  BOOST_TEST(contains(header_refusal(R"({"__metadata__":[]})"), "an object for __metadata__; got a list"));
  BOOST_TEST(
      contains(header_refusal(R"({"__metadata__":{"a":"1","a":"2"}})"), "each key of the metadata once; got a twice"));
  BOOST_TEST(header_refusal(R"({"__metadata__":{}})") == "no error");
}

// Other places than the one where the fault stands would be of little help in a header of megabytes.
BOOST_AUTO_TEST_CASE(errors_name_the_byte_where_their_token_begins) {
  const std::string before = "{ \"\\u00e4\" : {\"shape\":[ 1 ,2], ";
  BOOST_TEST(header_refusal(before + "\"x\" : 1}}") ==
             ", byte " + std::to_string(8 + before.size()) +
                 ": expected dtype, shape and data_offsets for \xC3\xA4; got x");
  const std::string further = before + "\"dtype\"\n:\t";
  BOOST_TEST(header_refusal(further + "12}}") ==
             ", byte " + std::to_string(8 + further.size()) + ": expected a string as the dtype of \xC3\xA4; got 12");
}

BOOST_AUTO_TEST_CASE(errors_quote_no_megabytes) {
  std::string umlauts(199, 'x');
  for (int i = 0; i < 1000; ++i) umlauts += "\xC3\xA4";
  BOOST_TEST(header_refusal(one("F32", umlauts), kEight)
                 .ends_with("as the dtype of a; got " + umlauts.substr(0, 199) + "..."));
}

BOOST_AUTO_TEST_CASE(entries_with_missing_repeated_or_foreign_fields) {
  BOOST_TEST(contains(header_refusal(R"({"a":{"dtype":"F32","shape":[2]}})"),
                      "dtype, shape and data_offsets for a; got 2 of them"));
  BOOST_TEST(
      contains(header_refusal(R"({"a":{"dtype":"F32","dtype":"F32"}})"), "each field of a once; got dtype twice"));
  BOOST_TEST(contains(header_refusal(R"({"a":{"offset":1}})"), "dtype, shape and data_offsets for a; got offset"));
}

BOOST_AUTO_TEST_CASE(k18_other_formats_are_named) {
  using namespace std::string_literals;
  const auto expect = [](const std::string& file, const std::string& kind) {
    BOOST_TEST(refusal(file) == ": expected a safetensors file; got " + kind);
  };
  expect("PK\x03\x04 and so on", "a zip archive (as PyTorch's .pt and NumPy's .npz are)");
  expect("\x80\x02\x8a\nl\xfc\x9c\x46\xf9", "a Python pickle (an old PyTorch file, or data of a Python version)");
  expect("\x80\x04\x95....", "a Python pickle (an old PyTorch file, or data of a Python version)");
  expect("\x89HDF\r\n\x1a\n....", "an HDF5 file");
  expect("\x1f\x8b\x08\0\0\0\0\0\0\0"s, "a gzip file (unpack it first)");
  expect("\x93NUMPY\x01\0v\0"s, "a NumPy .npy file");
  expect("<!DOCTYPE html><html>Not found</html>", "a web page (a download that failed?)");
  expect("version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS (git lfs pull fetches the file itself)");
}

// A header of 640 = 0x280 bytes begins like a pickle of protocol 2.
BOOST_AUTO_TEST_CASE(a_header_whose_length_looks_like_a_pickle_is_read) {
  std::string header = one();
  header.resize(640, ' ');
  BOOST_TEST(refusal(with_length(header, kEight)) == "no error");
}

// Every truncation, and every single changed bit, of a small file is refused or
// read; nothing else happens. Sanitizers see to the rest.
BOOST_AUTO_TEST_CASE(damaged_files_are_refused_or_read_but_never_worse) {
  const std::string file = with_length(one(), kEight);
  for (std::size_t n = 0; n < file.size(); ++n) BOOST_TEST(refusal(file.substr(0, n)) != "no error");
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    refused += refusal(damaged) != "no error";
  }
  BOOST_TEST(refused > (file.size() - 8 - 8) * 8);  // all but the data and a letter of the name
}

BOOST_AUTO_TEST_CASE(save_refuses_names_that_load_would_refuse) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& name) {
    return error<std::invalid_argument>([&] { nn::save_tensors({{name, ones({1})}}, folder / "a"); });
  };
  BOOST_TEST(refused("") == "save_tensors: a name must not be empty; got ''");
  BOOST_TEST(refused("__metadata__") ==
             "save_tensors: a name must not be that "
             "of the metadata; got '__metadata__'");
  BOOST_TEST(refused("\xff") == "save_tensors: a name must be UTF-8; got '\xff'");
  BOOST_TEST(contains(refused(std::string(1025, 'a')), "save_tensors: a name must have at most 1024 bytes"));
  BOOST_TEST(error<std::invalid_argument>([&] {
               nn::save_tensors({{"a", Tensor()}}, folder / "a");
             }) == "save_tensors: a must be a defined tensor");
  BOOST_TEST(error<std::invalid_argument>([&] {
               nn::save_tensors({}, folder / "a", {{"k", "\xff"}});
             }) == "save_tensors: metadata must be UTF-8; got other bytes at 'k'");
  BOOST_TEST(folder.files() == 0U);
}

// --- the file system

BOOST_AUTO_TEST_CASE(reading_names_what_cannot_be_read) {
  const TemporaryFolder folder;
  const auto refused = [](const std::filesystem::path& path) {
    return error<FileError>([&] { (void)nn::load_tensors(path); });
  };
  BOOST_TEST(refused(folder / "none") == (folder / "none").string() + ": cannot be read: no such file or directory");
  BOOST_TEST(refused(folder.path()) == folder.path().string() + ": expected a regular file; got a folder");
  BOOST_REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  BOOST_TEST(refused(folder / "pipe") == (folder / "pipe").string() + ": expected a regular file; got a pipe");
}

BOOST_AUTO_TEST_CASE(k20_a_folder_that_is_missing_gives_an_error_and_leaves_nothing) {
  const TemporaryFolder folder;
  const std::string text = error<FileError>([&] { nn::save_tensors({{"a", ones({1})}}, folder / "none/a"); });
  BOOST_TEST(text == (folder / "none/a").string() + ": cannot open its folder: no such file or directory");
  BOOST_TEST(folder.files() == 0U);
}

// The file may not grow beyond so many bytes, as if the disk were full: 64
// places in it.
BOOST_AUTO_TEST_CASE(k20_a_full_disk_leaves_the_old_file_and_no_temporary) {
  const TemporaryFolder folder;
  nn::save_tensors({{"a", ones({2})}}, folder / "a");
  const std::string before = read_text(folder / "a");
  const Tensor big = ones({1000});
  rlimit old = {};
  BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  int failures = 0;
  for (rlim_t i = 0; i < 64; ++i) {
    const rlimit limit{i * 4096 / 64, old.rlim_max};
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    try {
      nn::save_tensors({{"a", big}}, folder / "a");
    } catch (const FileError&) {
      ++failures;
    }
    ::setrlimit(RLIMIT_FSIZE, &old);
  }
  std::signal(SIGXFSZ, handler);
  BOOST_TEST(failures == 64);
  BOOST_TEST(read_text(folder / "a") == before);
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_CASE(an_existing_file_keeps_its_mode_and_a_link_its_place) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  nn::save_tensors({{"a", ones({1})}}, folder / "a");
  fs::permissions(folder / "a", fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);
  fs::create_symlink("a", folder / "link");
  nn::save_tensors({{"b", ones({1})}}, folder / "link");
  BOOST_TEST(fs::is_symlink(folder / "link"));
  BOOST_TEST(nn::load_tensors(folder / "a").tensors.count("b") == 1U);
  BOOST_TEST((fs::status(folder / "a").permissions() ==
              (fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read)));
}

BOOST_AUTO_TEST_CASE(of_two_writers_one_wins_whole_and_readers_see_whole_files) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  nn::save_tensors({{"a", zeros({10'000})}}, path);
  const auto write = [&](double value) {
    for (int i = 0; i < 20; ++i) nn::save_tensors({{"a", full({10'000}, value)}}, path);
  };
  std::thread one_writer(write, 1), other_writer(write, 2);
  bool whole = true;
  for (int i = 0; i < 50; ++i) {
    const Tensor a = nn::load_tensors(path).tensors.at("a");
    const float* x = a.data<float>();
    whole = whole && std::all_of(x, x + a.numel(), [=](float v) { return v == x[0]; });
  }
  one_writer.join();
  other_writer.join();
  BOOST_TEST(whole);
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
