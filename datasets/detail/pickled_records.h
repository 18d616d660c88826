#pragma once

#include <tapestry/datasets/detail/records.h>

/// CIFAR in its python version, as torchvision and Keras leave it on disks: pickled dictionaries of a numpy array of
/// images, u8 [n, 3072] with the planes of a record, and lists of labels.
namespace tapestry::datasets::pickled_records {

using records::Destination;
using records::Format;

/// How many images the file can hold at most: `expected`, or with `allow_partial` fewer where it is shorter. Throws
/// FileError where it is too short for `expected` ones.
[[nodiscard]] Index room_for(const FileReader& file, const Format& format, Index expected, bool allow_partial);

/// Reads a file of images and labels to a place with room for `room` of them; returns how many came, which is `room`
/// unless `allow_partial`. Needs no memory beside it but 3 MB. Throws FileError, with the byte and the opcode, for
/// everything that is not exactly what these files consist of; says so where it is one of the other CIFAR's.
[[nodiscard]] Index read(FileReader& file, const Format& format, Index room, bool allow_partial, const Destination& to);

/// Reads the file of the names of classes into `content`. Throws FileError unless there are as many as the format has.
void read_names(FileReader& file, const Format& format, LabelledContent& content);

}  // namespace tapestry::datasets::pickled_records
