// SPDX-License-Identifier: Apache-2.0
// Memory of tensors. The C library gives large blocks back to the system at every free and gets
// them again as pages to be cleared, which takes up to half of a network's time; here they are kept
// for the next operation, until the last context goes. Only what operations of this room ask for is
// kept: other users of libtorch in the process get theirs from malloc, which is left as it is.
#include "aten_priv.h"

#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <set>
#include <utility>

namespace
{

constexpr size_t alignment = 64; // of every tensor, in bytes
#ifdef __SANITIZE_ADDRESS__
constexpr size_t smallest = SIZE_MAX; // malloc's blocks are watched, ours would not be
#else
constexpr size_t smallest = 64 << 10; // less comes from malloc
#endif
constexpr size_t region_size = 256u << 20; // untouched pages take no memory
constexpr size_t huge_page = 2 << 20;

// Stands in front of its data. Pieces of a region are neighbours without gaps.
struct alignas(alignment) piece {
    size_t size;           // with this header; 0: from malloc
    piece *before, *after; // in the region, or null
    bool free;
};

// Best fit, with neighbours joined at once.
class kept_memory
{
  public:
    piece *take(size_t size)
    {
        std::lock_guard<std::mutex> lock(guard);
        auto found = idle.lower_bound({ size, nullptr });
        piece *p = found != idle.end() ? found->second : new_region(size);
        if (found != idle.end())
            idle.erase(found);
        if (p->size - size >= smallest)
            split(p, size);
        p->free = false;
        return p;
    }

    void give(piece *p)
    {
        std::lock_guard<std::mutex> lock(guard);
        p->free = true;
        if (p->after && p->after->free) {
            idle.erase({ p->after->size, p->after });
            join(p);
        }
        if (p->before && p->before->free) {
            p = p->before;
            idle.erase({ p->size, p });
            join(p);
        }
        idle.insert({ p->size, p });
        if (!users)
            return_regions();
    }

    void enter()
    {
        std::lock_guard<std::mutex> lock(guard);
        users++;
    }

    void leave()
    {
        std::lock_guard<std::mutex> lock(guard);
        if (!--users)
            return_regions();
    }

  private:
    std::mutex guard;
    std::set<std::pair<size_t, piece *>> idle; // by size
    size_t users = 0;

    static piece *map(size_t size)
    {
        void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            return nullptr;
        (void)madvise(memory, size, MADV_HUGEPAGE); // a hint: fewer faults
        return new (memory) piece{ size, nullptr, nullptr, true };
    }

    static piece *new_region(size_t size)
    {
        size_t rounded = (size + huge_page - 1) / huge_page * huge_page;
        piece *p = map(rounded > region_size ? rounded : region_size);
        if (!p)
            p = map(rounded);
        if (!p)
            throw std::bad_alloc();
        return p;
    }

    // The rest of p beyond `size` becomes a free piece of its own.
    void split(piece *p, size_t size)
    {
        piece *rest = new ((char *)p + size) piece{ p->size - size, p, p->after, true };
        if (rest->after)
            rest->after->before = rest;
        p->after = rest;
        p->size = size;
        idle.insert({ rest->size, rest });
    }

    static void join(piece *p)
    {
        p->size += p->after->size;
        p->after = p->after->after;
        if (p->after)
            p->after->before = p;
    }

    void return_regions()
    {
        for (auto i = idle.begin(); i != idle.end();) {
            piece *p = i->second;
            if (p->before || p->after) {
                ++i;
                continue;
            }
            i = idle.erase(i);
            munmap(p, p->size);
        }
    }
};

kept_memory &kept()
{
    static kept_memory *memory = new kept_memory; // outlives every tensor of the process
    return *memory;
}

thread_local bool keeping = false;

void give_back(void *data)
{
    if (!data)
        return;
    piece *p = static_cast<piece *>(data) - 1;
    try {
        if (p->size)
            kept().give(p);
        else
            free(p);
    } catch (...) { // no memory to note it: it stays unused until a neighbour is freed
    }
}

struct allocator final : c10::Allocator {
    static c10::DataPtr obtain(size_t count)
    {
        void *data = nullptr;
        if (count > SIZE_MAX / 2)
            throw std::bad_alloc();
        size_t size = (sizeof(piece) + count + alignment - 1) / alignment * alignment;
        if (count && keeping && count >= smallest) {
            data = kept().take(size) + 1;
        } else if (count) {
            if (posix_memalign(&data, alignment, size))
                throw std::bad_alloc();
            data = new (data) piece{ 0, nullptr, nullptr, false } + 1;
        }
        return { data, data, give_back, c10::Device(c10::DeviceType::CPU) };
    }
    // libtorch 1 asks a constant allocator, libtorch 2 one that may change.
    c10::DataPtr allocate(size_t count) const
    {
        return obtain(count);
    }
    c10::DataPtr allocate(size_t count)
    {
        return obtain(count);
    }
    c10::DeleterFnPtr raw_deleter() const override
    {
        return give_back;
    }
    void copy_data(void *to, const void *from, size_t count) const
    {
        memcpy(to, from, count);
    }
};

} // namespace

void aten_memory_enter()
{
    static std::once_flag once;
    std::call_once(once, [] { c10::SetCPUAllocator(new allocator, 1); });
    kept().enter();
}

void aten_memory_leave()
{
    kept().leave();
}

bool aten_keep_memory(bool on)
{
    bool was = keeping;
    keeping = on;
    return was;
}
