#include "classify/contract.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "failure.h"
#include "classify/schema.h"
#include "edge_cns.h"

enum { SCHEMA_VERSION = 1, SMALLEST_SIDE = 32, LARGEST_SIDE = 1024, BEYOND_ANY_FRAME = 1 << 20 };

static const char *const REGIONS[] = {"auto", "whole", "fixed", NULL};
static const char *const RULES[] = {"mean_softmax", "majority_vote", "log_odds", "sustained_evidence", NULL};

static const schema CLASS[] = {{.name = "name", .kind = WANT_TEXT}, {.name = "definition", .kind = WANT_TEXT}, {0}};
static const schema REGION[] = {{.name = "x", .kind = WANT_INTEGER},
                                {.name = "y", .kind = WANT_INTEGER},
                                {.name = "width", .kind = WANT_INTEGER},
                                {.name = "height", .kind = WANT_INTEGER},
                                {0}};
static const schema INPUT[] = {{.name = "height", .kind = WANT_INTEGER},
                               {.name = "width", .kind = WANT_INTEGER},
                               {.name = "region", .kind = WANT_TEXT, .words = REGIONS},
                               {.name = "fixed_region", .kind = WANT_OBJECT, .nullable = true, .fields = REGION},
                               {.name = "letterbox", .kind = WANT_BOOL},
                               {0}};
static const schema USE[] = {
    {.name = "statement", .kind = WANT_TEXT},
    {.name = "planes", .kind = WANT_LIST, .items = WANT_TEXT},
    {.name = "gestational_age_weeks", .kind = WANT_LIST, .nullable = true, .items = WANT_REAL, .exactly = 2},
    {.name = "modes", .kind = WANT_LIST, .items = WANT_TEXT},
    {.name = "mm_per_pixel", .kind = WANT_LIST, .nullable = true, .items = WANT_REAL, .exactly = 2},
    {.name = "phantom", .kind = WANT_BOOL},
    {0}};
static const schema CONFORMAL[] = {{.name = "coverage", .kind = WANT_REAL},
                                   {.name = "thresholds", .kind = WANT_LIST, .items = WANT_REAL},
                                   {.name = "pooled", .kind = WANT_LIST, .items = WANT_TEXT},
                                   {0}};
static const schema NOVELTY[] = {
    {.name = "threshold", .kind = WANT_REAL}, {.name = "false_alarm", .kind = WANT_REAL}, {0}};
static const schema VIEWS[] = {
    {.name = "names", .kind = WANT_LIST, .items = WANT_TEXT}, {.name = "threshold", .kind = WANT_REAL}, {0}};
static const schema AGGREGATION[] = {
    {.name = "rule", .kind = WANT_TEXT, .words = RULES}, {.name = "frames", .kind = WANT_INTEGER},
    {.name = "window_seconds", .kind = WANT_REAL},       {.name = "correlation_seconds", .kind = WANT_REAL},
    {.name = "correlation", .kind = WANT_REAL},          {0}};
static const schema EXAM[] = {{.name = "aggregation", .kind = WANT_OBJECT, .fields = AGGREGATION},
                              {.name = "thresholds", .kind = WANT_LIST, .items = WANT_REAL},
                              {.name = "target_sensitivity", .kind = WANT_REAL},
                              {.name = "negative", .kind = WANT_TEXT, .nullable = true},
                              {.name = "required_views", .kind = WANT_LIST, .items = WANT_TEXT},
                              {.name = "clear_abstention", .kind = WANT_REAL},
                              {.name = "clear_novelty", .kind = WANT_REAL, .nullable = true},
                              {0}};
static const schema DECISION[] = {{.name = "calibrated", .kind = WANT_BOOL},
                                  {.name = "temperature", .kind = WANT_REAL},
                                  {.name = "model_sha256", .kind = WANT_TEXT},
                                  {.name = "conformal", .kind = WANT_OBJECT, .nullable = true, .fields = CONFORMAL},
                                  {.name = "novelty", .kind = WANT_OBJECT, .nullable = true, .fields = NOVELTY},
                                  {.name = "views", .kind = WANT_OBJECT, .nullable = true, .fields = VIEWS},
                                  {.name = "exam", .kind = WANT_OBJECT, .nullable = true, .fields = EXAM},
                                  {0}};
static const schema CONTRACT[] = {{.name = "classes", .kind = WANT_LIST, .items = WANT_OBJECT, .fields = CLASS},
                                  {.name = "input", .kind = WANT_OBJECT, .fields = INPUT},
                                  {.name = "intended_use", .kind = WANT_OBJECT, .fields = USE},
                                  {.name = "decision", .kind = WANT_OBJECT, .fields = DECISION},
                                  {.name = "schema_version", .kind = WANT_INTEGER},
                                  {0}};

static edge_cns_status wrong(const char *what) {
  return ec_fail(EDGE_CNS_UNUSABLE, "contract.json: %s; make the bundle again", what);
}

static double real(const json *object, const char *key) { return ec_json_member(object, key)->real; }

static bool share(double value) { return value > 0 && value < 1; }

static bool shares(const json *list) {
  for (const json *item = list->first; item != NULL; item = item->next)
    if (!(item->real >= 0 && item->real <= 1)) return false;
  return true;
}

static bool span(const json *list) { /* lowest and highest, above 0 */
  return list->kind == JSON_NULL || (list->first->real > 0 && list->first->real <= list->first->next->real);
}

static bool sorted_and_distinct(const char *const *names, int count) {
  for (int i = 1; i < count; i++)
    if (strcmp(names[i - 1], names[i]) >= 0) return false; /* bytes of UTF-8 sort as their characters do */
  return true;
}

static bool is_class(const contract *c, const char *name) {
  for (int i = 0; i < c->classes; i++)
    if (strcmp(c->names[i], name) == 0) return true;
  return false;
}

static bool plain(const char *name) {
  bool seen = false;
  for (; *name != '\0'; name++) {
    if ((unsigned char)*name < 0x20 || *name == 0x7F) return false;
    seen |= *name != ' ';
  }
  return seen;
}

static edge_cns_status read_classes(contract *c, const json *list) {
  if (list->count < 2 || list->count > EDGE_CNS_MAX_CLASSES) return wrong("a classifier has 2 to 256 classes");
  for (const json *item = list->first; item != NULL; item = item->next) {
    const char *name = ec_json_member(item, "name")->text;
    if (!plain(name)) return wrong("a class has no plain name");
    c->names[c->classes++] = name;
  }
  return sorted_and_distinct(c->names, c->classes) ? EDGE_CNS_OK : wrong("class names are not sorted and distinct");
}

static int side(const json *object, const char *key) {
  int64_t value = ec_json_member(object, key)->integer;
  return value < 0 ? -1 : value > BEYOND_ANY_FRAME ? BEYOND_ANY_FRAME : (int)value;
}

static edge_cns_status read_input(contract *c, const json *input) {
  const json *fixed = ec_json_member(input, "fixed_region");
  const char *rule = ec_json_member(input, "region")->text;
  c->input.width = side(input, "width");
  c->input.height = side(input, "height");
  c->input.letterbox = ec_json_member(input, "letterbox")->integer != 0;
  c->input.rule = rule[0] == 'a' ? EC_AUTO : rule[0] == 'w' ? EC_WHOLE : EC_FIXED;
  if (c->input.width < SMALLEST_SIDE || c->input.width > LARGEST_SIDE || c->input.height < SMALLEST_SIDE ||
      c->input.height > LARGEST_SIDE)
    return wrong("the input's sides must be 32 to 1024");
  if ((c->input.rule == EC_FIXED) != (fixed->kind != JSON_NULL))
    return wrong("region \"fixed\" and fixed_region go together");
  if (c->input.rule != EC_FIXED) return EDGE_CNS_OK;
  ec_region r = {side(fixed, "x"), side(fixed, "y"), side(fixed, "width"), side(fixed, "height")};
  c->input.fixed = r;
  return r.x < 0 || r.y < 0 || r.width < 1 || r.height < 1 ? wrong("fixed_region is not inside a frame") : EDGE_CNS_OK;
}

static edge_cns_status read_conformal(contract *c, const json *rule) {
  const json *thresholds = ec_json_member(rule, "thresholds");
  c->has_conformal = true;
  c->coverage = real(rule, "coverage");
  if (!share(c->coverage) || !shares(thresholds)) return wrong("a share of the conformal rule is not from 0 to 1");
  if (thresholds->count != c->classes) return wrong("conformal.thresholds are not one a class");
  int i = 0;
  for (const json *item = thresholds->first; item != NULL; item = item->next) c->thresholds[i++] = item->real;
  for (const json *item = ec_json_member(rule, "pooled")->first; item != NULL; item = item->next)
    if (!is_class(c, item->text)) return wrong("conformal.pooled names a class that is not listed");
  return EDGE_CNS_OK;
}

static edge_cns_status read_views(contract *c, const json *rule) {
  const json *names = ec_json_member(rule, "names");
  c->view_threshold = real(rule, "threshold");
  if (names->count < 2 || names->count > EDGE_CNS_MAX_CLASSES) return wrong("views.names are not two to 256");
  for (const json *item = names->first; item != NULL; item = item->next) c->view_names[c->views++] = item->text;
  if (!share(c->view_threshold)) return wrong("views.threshold is not between 0 and 1");
  return sorted_and_distinct(c->view_names, c->views) ? EDGE_CNS_OK : wrong("views.names are not sorted and distinct");
}

/* This SDK states nothing of exams, but a rule that is damaged is refused as everywhere. */
static edge_cns_status check_exam(const contract *c, const json *exam) {
  const json *aggregation = ec_json_member(exam, "aggregation"), *negative = ec_json_member(exam, "negative");
  const json *thresholds = ec_json_member(exam, "thresholds");
  double frames = real(aggregation, "frames"), window = real(aggregation, "window_seconds");
  double apart = real(aggregation, "correlation_seconds"), correlation = real(aggregation, "correlation");
  double clear = real(exam, "clear_abstention");
  bool right = frames >= 1 && frames <= 1000 && window > 0 && window <= 3600 && apart > 0 && apart <= 3600;
  right = right && correlation >= 0 && correlation < 1 && share(real(exam, "target_sensitivity"));
  right = right && shares(thresholds) && clear >= 0 && clear <= 1;
  if (!right) return wrong("a number of the exam rule is out of range");
  if (thresholds->count != c->classes) return wrong("exam.thresholds are not one a class");
  if (negative->kind != JSON_NULL && negative->text[0] != '\0' && !is_class(c, negative->text))
    return wrong("exam.negative is no class that is listed");
  for (int i = 0; i < c->classes; i++)
    if (strcasecmp(c->names[i], "normal") == 0 &&
        (negative->kind == JSON_NULL || strcmp(c->names[i], negative->text) != 0))
      return wrong("the class \"normal\" is not exam.negative, and no statement may call a fetus that");
  return EDGE_CNS_OK;
}

static edge_cns_status read_decision(contract *c, const json *decision) {
  const json *conformal = ec_json_member(decision, "conformal"), *novelty = ec_json_member(decision, "novelty");
  const json *views = ec_json_member(decision, "views"), *exam = ec_json_member(decision, "exam");
  bool rules =
      conformal->kind != JSON_NULL || novelty->kind != JSON_NULL || views->kind != JSON_NULL || exam->kind != JSON_NULL;
  c->calibrated = ec_json_member(decision, "calibrated")->integer != 0;
  c->temperature = real(decision, "temperature");
  c->model_sha256 = ec_json_member(decision, "model_sha256")->text;
  if (!(c->temperature >= 0.01 && c->temperature <= 100)) return wrong("the temperature is not 0.01 to 100");
  if (!c->calibrated && (rules || c->model_sha256[0] != '\0'))
    return wrong("a decision that is not calibrated has rules");
  if (c->calibrated && (strlen(c->model_sha256) != 64 || strspn(c->model_sha256, "0123456789abcdef") != 64))
    return wrong("a calibrated decision names no model_sha256");
  edge_cns_status status = EDGE_CNS_OK;
  if (novelty->kind != JSON_NULL) {
    c->has_novelty = true;
    c->novelty_threshold = real(novelty, "threshold");
    if (!share(real(novelty, "false_alarm"))) status = wrong("novelty.false_alarm is not between 0 and 1");
  }
  if (status == EDGE_CNS_OK && conformal->kind != JSON_NULL) status = read_conformal(c, conformal);
  if (status == EDGE_CNS_OK && views->kind != JSON_NULL) status = read_views(c, views);
  if (status == EDGE_CNS_OK && exam->kind != JSON_NULL) status = check_exam(c, exam);
  return status;
}

static edge_cns_status read_use(contract *c, const json *use) {
  c->phantom = ec_json_member(use, "phantom")->integer != 0;
  return span(ec_json_member(use, "gestational_age_weeks")) && span(ec_json_member(use, "mm_per_pixel"))
             ? EDGE_CNS_OK
             : wrong("a span of intended_use is not a lowest and a highest above 0");
}

static edge_cns_status check_version(const json *root) {
  const json *version = ec_json_member(root, "schema_version");
  if (version == NULL || version->kind != JSON_INTEGER || version->integer == SCHEMA_VERSION) return EDGE_CNS_OK;
  return ec_fail(EDGE_CNS_UNSUPPORTED,
              "contract.json has schema_version %lld, this SDK reads %d; use the SDK of the bundle",
              (long long)version->integer, SCHEMA_VERSION);
}

static edge_cns_status read_all(contract *c) {
  const json *root = c->document.root;
  edge_cns_status status = check_version(root); /* before the fields, which another version may have others of */
  if (status == EDGE_CNS_OK) status = ec_schema_check(root, CONTRACT, "contract");
  if (status == EDGE_CNS_OK) status = read_classes(c, ec_json_member(root, "classes"));
  if (status == EDGE_CNS_OK) status = read_input(c, ec_json_member(root, "input"));
  if (status == EDGE_CNS_OK) status = read_use(c, ec_json_member(root, "intended_use"));
  return status == EDGE_CNS_OK ? read_decision(c, ec_json_member(root, "decision")) : status;
}

edge_cns_status ec_contract_read(const char *text, size_t size, contract *out) {
  memset(out, 0, sizeof *out);
  const char *error = ec_json_parse(text, size, &out->document);
  if (error != NULL)
    return ec_fail(EDGE_CNS_UNUSABLE, "contract.json is not valid JSON (%s); fetch the bundle again", error);
  edge_cns_status status = read_all(out);
  if (status != EDGE_CNS_OK) ec_contract_free(out);
  return status;
}

void ec_contract_free(contract *held) { ec_json_free(&held->document); }
