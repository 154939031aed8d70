#define _GNU_SOURCE
#include "classify/sealed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge_cns.h"
#include "failure.h"
#include "classify/json.h"
#include "classify/sha256.h"

enum { FORMAT = 1, ALIGNMENT = 64, PIECE = 65536 };
#define MANIFEST "manifest.json"
#define SIGNATURE "model.sig"
#define MOST_FILE ((size_t)512 << 20)
#define MOST_MANIFEST ((size_t)64 << 10)

static edge_cns_status tampered(const char *name, const char *what) {
  return ec_fail(EDGE_CNS_TAMPERED, "%.80s %s; fetch the bundle again", name, what);
}

/* A regular file, and nothing else, from one open. */
static edge_cns_status open_regular(int folder, const char *name, size_t most, int *descriptor, size_t *size) {
  struct stat info;
  *descriptor = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (*descriptor < 0) {
    if (errno == ELOOP || errno == ENXIO) return tampered(name, "is not a regular file");
    if (errno == ENOENT) return tampered(name, "is listed but missing");
    return ec_fail_errno(EDGE_CNS_UNUSABLE, name);
  }
  edge_cns_status status = EDGE_CNS_OK;
  if (fstat(*descriptor, &info) != 0)
    status = ec_fail_errno(EDGE_CNS_UNUSABLE, name);
  else if (!S_ISREG(info.st_mode))
    status = tampered(name, "is not a regular file");
  else if ((uintmax_t)info.st_size > most)
    status = ec_fail(EDGE_CNS_UNUSABLE, "%.80s has more than %zu bytes; it is no part of a bundle", name, most);
  *size = (size_t)info.st_size;
  if (status != EDGE_CNS_OK) close(*descriptor);
  return status;
}

static edge_cns_status read_whole(int descriptor, const char *name, size_t size, blob *out) {
  out->bytes = aligned_alloc(ALIGNMENT, (size + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
  if (out->bytes == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for %.80s", name);
  for (out->size = 0; out->size < size;) {
    ssize_t got = read(descriptor, out->bytes + out->size, size - out->size);
    if (got > 0) out->size += (size_t)got;
    if (got == 0) return EDGE_CNS_OK; /* it has become shorter: the digest will say so */
    if (got < 0 && errno != EINTR) return ec_fail_errno(EDGE_CNS_UNUSABLE, name);
  }
  return EDGE_CNS_OK;
}

static edge_cns_status hash_pieces(int descriptor, const char *name, sha256 *hash) {
  uint8_t *piece = malloc(PIECE);
  if (piece == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for %.80s", name);
  edge_cns_status status = EDGE_CNS_OK;
  for (;;) {
    ssize_t got = read(descriptor, piece, PIECE);
    if (got > 0) ec_sha256_add(hash, piece, (size_t)got);
    if (got < 0 && errno != EINTR) status = ec_fail_errno(EDGE_CNS_UNUSABLE, name);
    if (got == 0 || status != EDGE_CNS_OK) break;
  }
  free(piece);
  return status;
}

static edge_cns_status check_file(int folder, const char *name, const char *digest, sealed_file *keep) {
  int descriptor = -1;
  size_t size = 0;
  char found[65];
  sha256 hash;
  edge_cns_status status = open_regular(folder, name, MOST_FILE, &descriptor, &size);
  if (status != EDGE_CNS_OK) return status;
  ec_sha256_begin(&hash);
  if (keep == NULL) {
    status = hash_pieces(descriptor, name, &hash);
  } else {
    status = read_whole(descriptor, name, size, keep->content);
    if (status == EDGE_CNS_OK) ec_sha256_add(&hash, keep->content->bytes, keep->content->size);
  }
  close(descriptor);
  if (status != EDGE_CNS_OK) return status;
  ec_sha256_hex(&hash, found);
  if (strcmp(found, digest) != 0) return tampered(name, "does not match its digest in " MANIFEST);
  if (keep != NULL) memcpy(keep->sha256, found, sizeof found);
  return EDGE_CNS_OK;
}

static bool is_name(const char *name) {
  return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
         strcmp(name, MANIFEST) != 0;
}

/* {"files": {NAME: DIGEST}, "format": 1} */
static edge_cns_status check_manifest(const json *root, const json **files) {
  const json *format = ec_json_member(root, "format");
  *files = ec_json_member(root, "files");
  if (*files == NULL || format == NULL || root->count != 2 || (*files)->kind != JSON_OBJECT)
    return tampered(MANIFEST, "is not a bundle's manifest");
  if (format->kind != JSON_INTEGER || format->integer != FORMAT)
    return ec_fail(EDGE_CNS_UNSUPPORTED, "the bundle is of another format; this SDK reads %d", FORMAT);
  for (const json *file = (*files)->first; file != NULL; file = file->next)
    if (!is_name(file->key) || file->kind != JSON_TEXT) return tampered(MANIFEST, "lists what is no file of a bundle");
  return EDGE_CNS_OK;
}

/* The folder has nothing that is not listed. */
static edge_cns_status check_folder(int folder, const json *files) {
  int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = copy < 0 ? NULL : fdopendir(copy);
  if (entries == NULL) {
    if (copy >= 0) close(copy);
    return ec_fail_errno(EDGE_CNS_UNUSABLE, "the bundle's folder cannot be read");
  }
  edge_cns_status status = EDGE_CNS_OK;
  for (struct dirent *entry = readdir(entries); entry != NULL && status == EDGE_CNS_OK; entry = readdir(entries)) {
    const char *name = entry->d_name;
    if (is_name(name) && strcmp(name, SIGNATURE) != 0 && ec_json_member(files, name) == NULL)
      status = tampered(name, "is not listed in the manifest");
  }
  closedir(entries);
  return status;
}

static sealed_file *wanted_of(sealed_file *wanted, const char *name) {
  for (; wanted->name != NULL; wanted++)
    if (strcmp(wanted->name, name) == 0) return wanted;
  return NULL;
}

static edge_cns_status check_all(int folder, const json *root, sealed_file *wanted) {
  const json *files;
  edge_cns_status status = check_manifest(root, &files);
  if (status == EDGE_CNS_OK) status = check_folder(folder, files);
  if (status != EDGE_CNS_OK) return status;
  for (const json *file = files->first; file != NULL && status == EDGE_CNS_OK; file = file->next)
    status = check_file(folder, file->key, file->text, wanted_of(wanted, file->key));
  for (; wanted->name != NULL && status == EDGE_CNS_OK; wanted++)
    if (wanted->required && wanted->content->bytes == NULL)
      status = ec_fail(EDGE_CNS_UNUSABLE, "%s is missing; make the bundle with edge-cns convert", wanted->name);
  return status;
}

static edge_cns_status read_folder(int folder, sealed_file *wanted) {
  int descriptor = -1;
  size_t size = 0;
  blob text = {NULL, 0};
  json_document document;
  if (faccessat(folder, MANIFEST, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
    return ec_fail(EDGE_CNS_UNUSABLE, "there is no " MANIFEST "; a bundle is a folder NAME.cns made by edge-cns convert");
  edge_cns_status status = open_regular(folder, MANIFEST, MOST_MANIFEST, &descriptor, &size);
  if (status != EDGE_CNS_OK) return status;
  status = read_whole(descriptor, MANIFEST, size, &text);
  close(descriptor);
  if (status == EDGE_CNS_OK) {
    if (ec_json_parse((const char *)text.bytes, text.size, &document) != NULL) {
      status = tampered(MANIFEST, "is not valid JSON");
    } else {
      status = check_all(folder, document.root, wanted);
      ec_json_free(&document);
    }
  }
  free(text.bytes);
  return status;
}

edge_cns_status ec_sealed_read(const char *path, sealed_file *wanted) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return ec_fail_errno(EDGE_CNS_UNUSABLE, "the bundle is no folder that can be read");
  edge_cns_status status = read_folder(folder, wanted);
  close(folder);
  if (status != EDGE_CNS_OK)
    for (; wanted->name != NULL; wanted++) ec_bundle_drop(wanted->content);
  return status;
}
