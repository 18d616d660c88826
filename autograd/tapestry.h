#pragma once

/// Everything. Programs that compile often include the parts they use.
#include <tapestry/autograd/allocator.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/autograd/tensor.h>
#include <tapestry/autograd/version.h>
