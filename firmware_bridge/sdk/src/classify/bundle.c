#include "classify/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "edge_cns.h"
#include "failure.h"
#include "classify/sealed.h"

static const char *const OUTCOMES[] = {"passed", "undecided", "failed"};
static const char *const OUTPUTS[] = {"logits", "cam", "embedding"};

enum { MOST_STEPS = 255 };

void ec_bundle_drop(blob *file) {
  free(file->bytes);
  file->bytes = NULL;
  file->size = 0;
}

static edge_cns_status read_outcome(const json *root, bundle *out) {
  const json *outcome = ec_json_member(root, "outcome");
  for (size_t i = 0; i < sizeof OUTCOMES / sizeof *OUTCOMES; i++)
    if (outcome != NULL && outcome->kind == JSON_TEXT && strcmp(outcome->text, OUTCOMES[i]) == 0)
      out->proof = OUTCOMES[i];
  if (out->proof == NULL) return ec_fail(EDGE_CNS_UNUSABLE, "quantisation.json has no outcome; convert the model again");
  return EDGE_CNS_OK;
}

static edge_cns_status read_tolerance(const json *root, bundle *out) {
  const json *steps = ec_json_member(ec_json_member(root, "golden"), "tolerance_steps");
  for (int i = 0; i < 3; i++) {
    const json *value = ec_json_member(steps, OUTPUTS[i]);
    if (value == NULL || value->kind != JSON_INTEGER || value->integer < 0)
      return ec_fail(EDGE_CNS_UNUSABLE, "quantisation.json has no record of golden.npz; convert the model again");
    out->tolerance[i] = value->integer > MOST_STEPS ? MOST_STEPS : (int)value->integer;
  }
  return EDGE_CNS_OK;
}

static edge_cns_status read_quantisation(bundle *out) {
  json_document document;
  const char *error = ec_json_parse((const char *)out->quantisation.bytes, out->quantisation.size, &document);
  if (error != NULL)
    return ec_fail(EDGE_CNS_UNUSABLE, "quantisation.json is not valid JSON (%s); fetch the bundle again", error);
  edge_cns_status status = read_outcome(document.root, out);
  if (status == EDGE_CNS_OK) status = read_tolerance(document.root, out);
  ec_json_free(&document);
  return status;
}

/* A decision is only worth something beside the model that it was fitted on. */
static edge_cns_status check_decision(const bundle *b, const char *model_sha256) {
  if (b->contract.calibrated && strcmp(b->contract.model_sha256, model_sha256) != 0)
    return ec_fail(EDGE_CNS_UNUSABLE, "contract.json was calibrated for another model; calibrate this bundle");
  if ((b->contract.has_novelty || b->contract.views > 0) && b->decision.bytes == NULL)
    return ec_fail(EDGE_CNS_UNUSABLE, "decision.npz is missing; calibrate the bundle with edge-cns calibrate");
  return EDGE_CNS_OK;
}

edge_cns_status ec_bundle_read(const char *path, bundle *out) {
  blob text = {NULL, 0}, card = {NULL, 0}, patients = {NULL, 0};
  memset(out, 0, sizeof *out);
  sealed_file wanted[] = {{"model.tflite", &out->model, 1, ""},    {"contract.json", &text, 1, ""},
                          {"golden.npz", &out->golden, 1, ""},     {"quantisation.json", &out->quantisation, 1, ""},
                          {"model_card.md", &card, 1, ""},         {"patients.json", &patients, 1, ""},
                          {"decision.npz", &out->decision, 0, ""}, {NULL, NULL, 0, ""}};
  edge_cns_status status = ec_sealed_read(path, wanted);
  if (status != EDGE_CNS_OK) return status;
  status = ec_contract_read((const char *)text.bytes, text.size, &out->contract);
  ec_bundle_drop(&text);
  ec_bundle_drop(&card);
  ec_bundle_drop(&patients);
  if (status == EDGE_CNS_OK) {
    status = read_quantisation(out);
    if (status == EDGE_CNS_OK) status = check_decision(out, wanted[0].sha256);
    if (status != EDGE_CNS_OK) ec_contract_free(&out->contract);
  }
  ec_bundle_drop(&out->quantisation);
  if (status != EDGE_CNS_OK) {
    ec_bundle_drop(&out->model);
    ec_bundle_drop(&out->decision);
    ec_bundle_drop(&out->golden);
  }
  return status;
}

void ec_bundle_free(bundle *held) {
  ec_bundle_drop(&held->model);
  ec_bundle_drop(&held->decision);
  ec_bundle_drop(&held->golden);
  ec_contract_free(&held->contract);
}
