/* What a bundle's contract.json says of its model: edge_cns/contract.py in C. A contract that has a field or a version
 * unknown here is refused, for it may mean something that this SDK would not do. */
#ifndef EDGE_CNS_CONTRACT_H
#define EDGE_CNS_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "edge_cns.h"
#include "classify/json.h"
#include "preprocess/preprocess.h"

typedef struct contract {
  json_document document; /* owns all text */
  int classes;
  const char *names[EDGE_CNS_MAX_CLASSES];
  ec_input input;
  bool phantom; /* trained on simulated frames */
  bool calibrated;
  double temperature;
  const char *model_sha256; /* empty if not calibrated */
  bool has_conformal;
  double coverage;
  double thresholds[EDGE_CNS_MAX_CLASSES]; /* with has_conformal: probability from which a class is possible */
  bool has_novelty;
  double novelty_threshold;
  int views; /* 0: no rule */
  const char *view_names[EDGE_CNS_MAX_CLASSES];
  double view_threshold;
} contract;

/* Parse contract.json. On an error there is nothing to be freed, and edge_cns_error() says what is wrong. */
edge_cns_status ec_contract_read(const char *text, size_t size, contract *out);
void ec_contract_free(contract *held);

#endif
