#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Images as sums of neighbouring pixels, with weights per row and per column. T is float or double. The same bits for
/// any number of threads.
namespace tapestry::kernels {

/// What an element along one axis is a sum of: inputs begin, begin + 1, ..., as many as there are weights.
struct ResampleTaps {
  Index begin;
  const double* weights;
  Index count;
};

struct ResampleShape {
  Index n, h, w, c;
  Index oh, ow;                 ///< output [n, oh, ow, c]
  const ResampleTaps* rows;     ///< [oh]
  const ResampleTaps* columns;  ///< [ow]
};

/// y[., i, j, .] = sum of rows[i].weights[r] columns[j].weights[s] x[., rows[i].begin + r, columns[j].begin + s, .].
template <class T>
void resample(const ResampleShape& shape, const T* x, T* y);

}  // namespace tapestry::kernels
