#pragma once

#include <string_view>
#include <vector>

#include <tapestry/autograd/base/call_site.h>

/// Which instructions kernels use: "amx" (avx512, and products of bf16 on Intel's matrix unit), "avx512" (with
/// AVX512_BF16 where the CPU has it), "avx2" (with FMA), or "portable", what every CPU of the architecture has. The
/// library holds all of them and takes the best that the CPU offers, except "amx": its tiles have been tested on an
/// emulator and not measured on the unit, so it has to be asked for. The environment variable
/// TAPESTRY_INSTRUCTION_SET names another one from the start; a name that is unknown, or not offered by this CPU, ends
/// the program with a message and status 2.
namespace tapestry {

[[nodiscard]] std::string_view instruction_set();

/// Those that this CPU offers, best first.
[[nodiscard]] std::vector<std::string_view> instruction_sets();

/// For all threads, from now on; not while another thread computes. Throws std::invalid_argument for a name that is not
/// one of instruction_sets().
void set_instruction_set(std::string_view name, Here here = {});

}  // namespace tapestry
