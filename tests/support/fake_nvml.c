/* NVML as far as worker/gpu calls it, for machines without a GPU.
   The file named by FAKE_NVML is read at each call. Its first line is what nvmlInit returns; each further line a device:
   error|name|uuid|bus|used|total|utilization|milliwatts|temperature|gpu   (-1: not supported; gpu: of a MIG instance)
   With -2 in the first line no call returns. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, MOST = 16 };

struct device {
    int error;
    char name[64], uuid[80], bus[32];
    long long used, total;
    int utilization, milliwatts, temperature, gpu;
};

static struct device devices[MOST];
static int count, init;

static void load(void) {
    FILE *file = fopen(getenv("FAKE_NVML"), "r");
    count = 0;
    if (file == NULL || fscanf(file, "%d\n", &init) != 1) abort();
    while (count < MOST) {
        struct device *d = &devices[count];
        if (fscanf(file, "%d|%63[^|]|%79[^|]|%31[^|]|%lld|%lld|%d|%d|%d|%d\n", &d->error, d->name, d->uuid, d->bus,
                   &d->used, &d->total, &d->utilization, &d->milliwatts, &d->temperature, &d->gpu) != 10) break;
        count++;
    }
    fclose(file);
    while (init == -2) pause();
}

static struct device *find(void *handle) {
    load();
    return &devices[(intptr_t)handle - 1];
}

static int number(void *handle, int value, unsigned *to) {
    struct device *d = find(handle);
    if (d->error) return d->error;
    if (value < 0) return NOT_SUPPORTED;
    *to = (unsigned)value;
    return OK;
}

static int instance(int gpu, unsigned at, void **handle) {
    load();
    for (int i = 0; i < count; i++)
        if (devices[i].gpu == gpu && at-- == 0) {
            *handle = (void *)(intptr_t)(i + 1);
            return OK;
        }
    return NOT_FOUND;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; load(); return init; }
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { snprintf(to, size, "580.65.06"); return OK; }
int nvmlSystemGetCudaDriverVersion(int *to) { *to = 13000; return OK; }

int nvmlDeviceGetCount_v2(unsigned *to) {
    load();
    *to = 0;
    for (int i = 0; i < count; i++) *to += devices[i].gpu < 0;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    int result = instance(-1, index, handle);
    return result ? result : find(*handle)->error;
}

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(void *handle, struct pci *to) { strcpy(to->bus_id, find(handle)->bus); return OK; }
int nvmlDeviceGetUUID(void *handle, char *to, unsigned size) { snprintf(to, size, "%s", find(handle)->uuid); return OK; }
int nvmlDeviceGetName(void *handle, char *to, unsigned size) { snprintf(to, size, "%s", find(handle)->name); return OK; }

int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *next) {
    void *first;
    find(handle);
    *now = *next = instance((int)(intptr_t)handle - 1, 0, &first) == OK;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *to) { (void)handle; *to = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned at, void **to) {
    return instance((int)(intptr_t)handle - 1, at, to);
}

struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *to) {
    struct device *d = find(handle);
    if (d->error) return d->error;
    if (d->total < 0) return NOT_SUPPORTED;
    *to = (struct memory){d->total, d->total - d->used, d->used};
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned to[2]) { return number(handle, find(handle)->utilization, to); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *to) { return number(handle, find(handle)->milliwatts, to); }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *to) {
    (void)sensor;
    return number(handle, find(handle)->temperature, to);
}
