#include "classify/evidence.h"

#include <math.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

enum { LANES = 16, BLOCK = 128, STRIDE = 8 };

static float real(const engine_tensor *tensor, int value) {
  return ((float)value - (float)tensor->zero_point) * tensor->scale;
}

float ec_real(const engine_tensor *tensor, size_t index) { return real(tensor, tensor->values[index]); }

void ec_softmax(const double *values, int count, double temperature, double *shares) {
  double largest = -HUGE_VAL, sum = 0;
  for (int i = 0; i < count; i++) {
    shares[i] = values[i] / temperature;
    if (shares[i] > largest) largest = shares[i];
  }
  for (int i = 0; i < count; i++) {
    shares[i] = exp(shares[i] - largest);
    sum += shares[i];
  }
  for (int i = 0; i < count; i++) shares[i] /= sum;
}

/* In lanes, so that a compiler may use vectors. */
float ec_dot(const float *a, const float *b, size_t count) {
  float lanes[LANES] = {0}, sum = 0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (size_t k = 0; k < LANES; k++) lanes[k] += a[i + k] * b[i + k];
  for (; i < count; i++) sum += a[i] * b[i];
  for (size_t k = 0; k < LANES; k++) sum += lanes[k];
  return sum;
}

void ec_unit(const engine_tensor *embedding, float *unit) {
  double energy = 0;
  for (size_t i = 0; i < embedding->count; i++) {
    unit[i] = ec_real(embedding, i);
    energy += (double)unit[i] * (double)unit[i];
  }
  const float length = fmaxf((float)sqrt(energy), 1e-12f);
  for (size_t i = 0; i < embedding->count; i++) unit[i] /= length;
}

double ec_novelty(const float *unit, const float *directions, size_t groups, size_t kept, size_t channels) {
  double most = -HUGE_VAL;
  for (size_t g = 0; g < groups; g++) {
    double inside = 0;
    for (size_t k = 0; k < kept; k++, directions += channels) {
      double place = (double)ec_dot(unit, directions, channels);
      inside += place * place;
    }
    if (inside > most) most = inside;
  }
  return fmin(fmax(1.0 - most, 0.0), 1.0);
}

/* Sum in the order in which numpy adds float32 along a contiguous axis. */
static float sum_of(const float *values, int count) {
  float sum = 0, lanes[STRIDE];
  int i;
  if (count < STRIDE) {
    for (i = 0; i < count; i++) sum += values[i];
    return sum;
  }
  if (count > BLOCK) {
    int first = count / 2;
    first -= first % STRIDE;
    return sum_of(values, first) + sum_of(values + first, count - first);
  }
  for (int k = 0; k < STRIDE; k++) lanes[k] = values[k];
  for (i = STRIDE; i + STRIDE <= count; i += STRIDE)
    for (int k = 0; k < STRIDE; k++) lanes[k] += values[i + k];
  sum = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  for (; i < count; i++) sum += values[i];
  return sum;
}

void ec_evidence(const engine_tensor *cam, int label, float *heat) {
  const int classes = cam->shape[2], places = cam->shape[0] * cam->shape[1];
  float values[EDGE_CNS_MAX_CLASSES];
  for (int p = 0; p < places; p++) {
    for (int c = 0; c < classes; c++) values[c] = ec_real(cam, (size_t)p * (size_t)classes + (size_t)c);
    float mean = sum_of(values, classes) / (float)classes;
    heat[p] = values[label] - mean;
  }
}
