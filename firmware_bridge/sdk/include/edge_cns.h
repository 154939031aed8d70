/* edge_cns.h - an ultrasound machine hands its frames to the edge-cns classifier, and gets the verdicts back.
 *
 * Research use only. Not a medical device.
 *
 *     edge_cns *door;
 *     edge_cns_caps caps = EDGE_CNS_CAPS_INIT;
 *     caps.max_width = 1920; caps.max_height = 1080;
 *     edge_cns_open("ring://cart", &caps, &door);
 *     for (;;) {
 *       edge_cns_slot slot;
 *       if (edge_cns_acquire_slot(door, &slot) == EDGE_CNS_OK) {
 *         ... write pixels to slot.pixels ...
 *         edge_cns_submit(door, &slot, &frame);
 *       }                                              // WOULD_BLOCK: this frame is lost, and counted
 *       while (edge_cns_poll_result(door, &result, 0) == EDGE_CNS_OK)
 *         show(&result);
 *     }
 *
 * Frames lie in a ring of shared memory; only a small message goes through a socket for each. A slot is not given out
 * again before the classifier has let go of it, so no frame can tear.
 *
 * Threads: one thread at a time may hand over frames and events (acquire, submit, give_back, event, reconnect), and one
 * other thread may call edge_cns_poll_result, at the same time. The remaining functions may be called from any thread.
 * edge_cns_open and edge_cns_close are for one thread alone. A slot is worth nothing after edge_cns_reconnect. No function blocks but edge_cns_open and
 * edge_cns_reconnect (at most EDGE_CNS_HANDSHAKE_MS) and edge_cns_poll_result (its timeout). After edge_cns_open nothing
 * is allocated.
 */
#ifndef EDGE_CNS_H
#define EDGE_CNS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EDGE_CNS_API __attribute__((visibility("default")))
#else
#define EDGE_CNS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define EDGE_CNS_VERSION "1.0.0"
#define EDGE_CNS_MAX_CLASSES 256
#define EDGE_CNS_MAX_SLOTS 32
#define EDGE_CNS_MAX_HEAT 4096       /* numbers in a heat map */
#define EDGE_CNS_MAX_SIDE 8192       /* px */
#define EDGE_CNS_HANDSHAKE_MS 5000
#define EDGE_CNS_NAME_SIZE 64        /* bytes of a name, with its NUL */
#define EDGE_CNS_VALUE_SIZE 128      /* bytes of an event's value, with its NUL */

/* What a function says. Positive: nothing is wrong, go on. Negative: edge_cns_error() has a line about it. */
typedef enum edge_cns_status {
  EDGE_CNS_OK = 0,
  EDGE_CNS_WOULD_BLOCK = 1,     /* the classifier holds every slot: the frame is lost, and counted */
  EDGE_CNS_TIMEOUT = 2,         /* no result came: show no signal once the last one has expired */
  EDGE_CNS_BAD_ARGUMENT = -1,   /* mend the call */
  EDGE_CNS_UNAVAILABLE = -2,    /* nobody serves that ring: start edge-cns run, then try again */
  EDGE_CNS_REFUSED = -3,        /* the classifier says no; the line says why */
  EDGE_CNS_DISCONNECTED = -4,   /* the classifier is gone: show no signal, and call edge_cns_reconnect now and then */
  EDGE_CNS_PROTOCOL = -5,       /* it said something that this SDK does not understand: install matching versions */
  EDGE_CNS_SYSTEM = -6,         /* the operating system refused something */
  EDGE_CNS_UNUSABLE = -7,       /* the bundle cannot be used: the line names the file and the mend */
  EDGE_CNS_TAMPERED = -8,       /* the bundle is not the one that was sealed: fetch it again */
  EDGE_CNS_UNSUPPORTED = -9,    /* another format, version or model than this SDK knows, or no proof */
  EDGE_CNS_MISMATCH = -10,      /* this machine does not reproduce the bundle's golden vectors: do not use it here */
  EDGE_CNS_ENGINE = -11         /* LiteRT could not be loaded, or it failed */
} edge_cns_status;

/* Values a verdict can have. Zeroed memory says no signal. */
typedef enum edge_cns_state {
  EDGE_CNS_NO_SIGNAL = 0,
  EDGE_CNS_CLASS = 1,
  EDGE_CNS_INDETERMINATE = 2,
  EDGE_CNS_NOT_SUPPORTED_VIEW = 3,
  EDGE_CNS_FROZEN = 4
} edge_cns_state;

/* What may be said of the exam so far. */
typedef enum edge_cns_outcome {
  EDGE_CNS_OUTCOME_NONE = 0,                /* nothing yet */
  EDGE_CNS_OUTCOME_FINDING = 1,             /* `finding` */
  EDGE_CNS_OUTCOME_INDETERMINATE = 2,
  EDGE_CNS_OUTCOME_NOT_SUPPORTED_VIEW = 3,
  EDGE_CNS_OUTCOME_NO_LISTED_FINDING = 4    /* none of the listed findings in the views analysed */
} edge_cns_outcome;

typedef enum edge_cns_format {
  EDGE_CNS_GREY8 = 1,
  EDGE_CNS_GREY16 = 2, /* in the machine's byte order; see bits_stored */
  EDGE_CNS_BGR8 = 3    /* three bytes a pixel */
} edge_cns_format;

/* What the machine says beside its frames, in order with them. `value` is text in UTF-8. */
typedef enum edge_cns_event_kind {
  EDGE_CNS_EXAM_START = 1,      /* value: an opaque id, or empty. What was gathered is forgotten. */
  EDGE_CNS_EXAM_END = 2,        /* what was gathered is forgotten */
  EDGE_CNS_FETUS = 3,           /* value: number or name. What was gathered is forgotten. */
  EDGE_CNS_FREEZE = 4,          /* the image is held on purpose */
  EDGE_CNS_UNFREEZE = 5,        /* it moves again; also the end of cine */
  EDGE_CNS_CINE = 6,            /* what follows is played from memory: no new evidence */
  EDGE_CNS_PROBE = 7,           /* value: its name; empty when it was removed, and then what was gathered is forgotten */
  EDGE_CNS_PRESET = 8,          /* value: its name */
  EDGE_CNS_DEPTH = 9,           /* value: mm */
  EDGE_CNS_MODE = 10,           /* value: B, doppler, M or dual; only B is classified */
  EDGE_CNS_ORIENTATION = 11,    /* value: empty, "lr", "ud" or "lr,ud": how the image is inverted */
  EDGE_CNS_GESTATIONAL_AGE = 12 /* value: days */
} edge_cns_event_kind;

typedef enum edge_cns_result_flags {
  EDGE_CNS_FLAG_CALIBRATED = 1,    /* probabilities were calibrated on patients of their own */
  EDGE_CNS_FLAG_PROVEN = 2,        /* the quantisation gate passed */
  EDGE_CNS_FLAG_FALLBACK = 4,      /* the engine is another than was asked for */
  EDGE_CNS_FLAG_HELD = 8,          /* frozen on purpose; without it, a frozen state is a stalled image */
  EDGE_CNS_FLAG_CINE = 16          /* played from memory, not live */
} edge_cns_result_flags;

/* What the machine can send. */
typedef struct edge_cns_caps {
  size_t size;             /* of this struct; set by EDGE_CNS_CAPS_INIT */
  uint32_t max_width;      /* px */
  uint32_t max_height;     /* px */
  uint32_t max_bytes_per_pixel; /* 1, 2 or 3 */
  uint32_t max_stride;     /* bytes from a row to the next; 0: max_width * max_bytes_per_pixel */
  uint32_t slots;          /* 3 to EDGE_CNS_MAX_SLOTS: how many frames the classifier may hold; it copies when they run out */
  uint32_t heat_map;       /* whether results shall carry one */
  uint32_t peer_uid;       /* user that may serve the ring, besides root and our own; UINT32_MAX: nobody else */
  char name[EDGE_CNS_NAME_SIZE]; /* of the machine, for logs; may be empty */
} edge_cns_caps;

#define EDGE_CNS_CAPS_INIT {sizeof(edge_cns_caps), 1920, 1080, 1, 0, 8, 0, UINT32_MAX, {0}}

/* A place in the ring that is ours until it is submitted or given back. */
typedef struct edge_cns_slot {
  uint8_t *pixels;   /* aligned to 64 bytes */
  size_t capacity;   /* bytes */
  uint64_t sequence; /* number that the frame will have */
  uint32_t index;
} edge_cns_slot;

typedef struct edge_cns_frame {
  edge_cns_format format;
  uint32_t width, height;    /* px, 64 to EDGE_CNS_MAX_SIDE */
  uint32_t stride;           /* bytes from a row to the next; 0: rows touch */
  uint32_t bits_stored;      /* of GREY16, 8 to 16; 0: all 16 */
  int32_t region[4];         /* x, y, width, height of the ultrasound image in px; width 0: not known */
  double mm_per_pixel[2];    /* along x, along y; 0: not known */
  int64_t captured_ns;       /* CLOCK_MONOTONIC; 0: now */
} edge_cns_frame;

/* A verdict, and what may be said of the exam. All times are CLOCK_MONOTONIC ns. */
typedef struct edge_cns_result {
  uint64_t sequence;                    /* of the newest frame that it rests on */
  int64_t captured_ns, emitted_ns;
  int64_t expires_ns;                   /* from then on it must not be shown: see edge_cns_state_at */
  double age_ms, latency_ms;            /* age when it was emitted; frame taken to verdict */
  edge_cns_state state;
  int32_t label;                        /* index for edge_cns_class_name; -1: none is stated */
  float probability;                    /* of the label; NaN without one */
  float novelty;                        /* NaN where the bundle has no rule for it */
  edge_cns_state steady_state;          /* smoothed, for a display that does not flicker */
  int32_t steady_label;
  float steady_probability;
  uint32_t frames_behind;               /* frames that the steady display rests on */
  uint32_t flags;                       /* edge_cns_result_flags */
  uint64_t frames_seen, frames_classified, frames_dropped, frames_missed; /* by the classifier; missed: never reached it */
  edge_cns_outcome outcome;             /* of the exam so far */
  int32_t finding;                      /* index, with EDGE_CNS_OUTCOME_FINDING; otherwise -1 */
  char exam[EDGE_CNS_VALUE_SIZE];       /* as the machine named it */
  char fetus[EDGE_CNS_NAME_SIZE];
  char view[EDGE_CNS_NAME_SIZE];        /* recognised plane, or empty */
  char reason[256];                     /* why nothing is stated, and what must be known of the bundle */
  char statement[256];                  /* of the exam, for a person */
  uint32_t classes;                     /* numbers in `probabilities`: 0 where no frame was classified */
  float probabilities[EDGE_CNS_MAX_CLASSES];
  uint32_t heat_rows, heat_columns;     /* 0: no heat map */
  float heat[EDGE_CNS_MAX_HEAT];        /* evidence in logits over the network's image, row by row */
} edge_cns_result;

/* What became of the frames, on our side of the ring. */
typedef struct edge_cns_counts {
  uint64_t acquired;         /* slots given out */
  uint64_t submitted;        /* frames handed over */
  uint64_t would_block;      /* frames lost because no slot was free */
  uint64_t released;         /* frames that the classifier has let go of */
  uint64_t results;          /* that came */
  uint64_t results_lost;     /* that were not polled in time: a newer one took their place */
  uint64_t lost_connections;
} edge_cns_counts;

typedef struct edge_cns edge_cns;

/* Connect to the classifier that serves `uri` ("ring://NAME"). `*door` is NULL unless the status is EDGE_CNS_OK. */
EDGE_CNS_API edge_cns_status edge_cns_open(const char *uri, const edge_cns_caps *caps, edge_cns **door);

/* After EDGE_CNS_DISCONNECTED: connect again. Exam, fetus, mode, freeze and what else was told are told again. */
EDGE_CNS_API edge_cns_status edge_cns_reconnect(edge_cns *door);

/* Disconnect and give everything back. NULL is allowed. */
EDGE_CNS_API void edge_cns_close(edge_cns *door);

/* A slot to write a frame into. Never waits. One slot at a time. */
EDGE_CNS_API edge_cns_status edge_cns_acquire_slot(edge_cns *door, edge_cns_slot *slot);

/* Hand the frame in `slot` over; from then on its memory is not ours. On an error the slot is given back. */
EDGE_CNS_API edge_cns_status edge_cns_submit(edge_cns *door, const edge_cns_slot *slot, const edge_cns_frame *frame);

/* Give a slot back unused. */
EDGE_CNS_API void edge_cns_give_back(edge_cns *door, const edge_cns_slot *slot);

/* Say something beside the frames. NULL counts as an empty value. While disconnected it is kept for the reconnection. */
EDGE_CNS_API edge_cns_status edge_cns_event(edge_cns *door, edge_cns_event_kind kind, const char *value);

/* The oldest result that waits. timeout_ms 0: do not wait; negative: for ever. */
EDGE_CNS_API edge_cns_status edge_cns_poll_result(edge_cns *door, edge_cns_result *result, int timeout_ms);

/* What may be shown of a result at a time: its state, or EDGE_CNS_NO_SIGNAL once it has expired. */
EDGE_CNS_API edge_cns_state edge_cns_state_at(const edge_cns_result *result, int64_t now_ns);

EDGE_CNS_API uint32_t edge_cns_class_count(const edge_cns *door);
/* A name in UTF-8 that lives as long as the door; an empty one for an index out of range. */
EDGE_CNS_API const char *edge_cns_class_name(const edge_cns *door, int32_t index);

EDGE_CNS_API void edge_cns_get_counts(edge_cns *door, edge_cns_counts *counts);

/* CLOCK_MONOTONIC, ns. */
EDGE_CNS_API int64_t edge_cns_now(void);

EDGE_CNS_API const char *edge_cns_version(void);

/* One line about the last negative status in this thread. */
EDGE_CNS_API const char *edge_cns_error(void);

/* Classify in this process: no ring, no Python; see docs/embed-in-c.md.
 *
 *     edge_cns_classifier_options options = EDGE_CNS_CLASSIFIER_OPTIONS_INIT;
 *     edge_cns_classifier *classifier;
 *     options.litert_library = "/opt/edge-cns/libLiteRt.so";
 *     edge_cns_classifier_open("/opt/edge-cns/brain.cns", &options, &classifier);
 *     edge_cns_classify(classifier, pixels, &frame, &result);
 *     edge_cns_classifier_close(classifier);
 *
 * A classifier belongs to one thread at a time; several classifiers may run in several threads. After
 * edge_cns_classifier_open this SDK allocates nothing. The library has these functions where it was built with
 * EDGE_CNS_CLASSIFY=ON.
 */
typedef struct edge_cns_classifier edge_cns_classifier;

typedef struct edge_cns_classifier_options {
  size_t size;                /* of this struct; set by EDGE_CNS_CLASSIFIER_OPTIONS_INIT */
  const char *litert_library; /* path of libLiteRt.so, of the version that docs/embed-in-c.md names */
  uint32_t threads;           /* of the engine */
  uint32_t max_width;         /* px of a frame: memory is reserved for frames up to this size */
  uint32_t max_height;
  uint32_t require_proof; /* whether a bundle is refused whose quantisation was not proven */
} edge_cns_classifier_options;

#define EDGE_CNS_CLASSIFIER_OPTIONS_INIT \
  { sizeof(edge_cns_classifier_options), NULL, 1, 1920, 1080, 0 }

/* Load a bundle, verify it, and run its golden vectors. `*classifier` is NULL unless the status is
 * EDGE_CNS_OK. Reads files and may take some tenths of a second. */
EDGE_CNS_API edge_cns_status edge_cns_classifier_open(const char *bundle, const edge_cns_classifier_options *options,
                                                      edge_cns_classifier **classifier);

/* Classify one frame. `frame` says how `pixels` lie; they are only read.
 *
 * The result has state, label, probabilities, novelty, view, heat map and reason as edge_cns.load(...).classify has
 * them in Python. One frame is all it rests on: the steady display says the same, and nothing is said of the exam.
 * Frames are numbered from 0. It expires EDGE_CNS_LIFETIME_NS after its capture: see edge_cns_state_at. */
EDGE_CNS_API edge_cns_status edge_cns_classify(edge_cns_classifier *classifier, const void *pixels,
                                               const edge_cns_frame *frame, edge_cns_result *result);

#define EDGE_CNS_LIFETIME_NS INT64_C(500000000)

/* Give everything back. NULL is allowed. */
EDGE_CNS_API void edge_cns_classifier_close(edge_cns_classifier *classifier);

EDGE_CNS_API uint32_t edge_cns_classifier_class_count(const edge_cns_classifier *classifier);
/* A name in UTF-8 that lives as long as the classifier; an empty one for an index out of range. */
EDGE_CNS_API const char *edge_cns_classifier_class_name(const edge_cns_classifier *classifier, int32_t index);

/* What must be known of all that the bundle says: uncalibrated, unproven, trained on phantom frames; empty if nothing.
 */
EDGE_CNS_API const char *edge_cns_classifier_remarks(const edge_cns_classifier *classifier);

/* Whether the golden vectors were reproduced bit for bit, and not only within the bundle's tolerance. */
EDGE_CNS_API uint32_t edge_cns_classifier_exact(const edge_cns_classifier *classifier);

/* A tensor of the last frame, as the engine has it. */
typedef struct edge_cns_tensor {
  const int8_t *values; /* real value: (value - zero_point) * scale; they change with the next frame */
  uint32_t count;
  uint32_t axes;
  uint32_t shape[4]; /* without the batch */
  float scale;
  int32_t zero_point;
} edge_cns_tensor;

/* By name: "image" (the input), "logits", "cam" or "embedding". */
EDGE_CNS_API edge_cns_status edge_cns_classifier_tensor(const edge_cns_classifier *classifier, const char *name,
                                                        edge_cns_tensor *tensor);

#ifdef __cplusplus
}
#endif

#endif
