/* Sections side by side in one mapping, written first and made executable after. */
#include "codegen/object_code.h"

#include <elf.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST_SECTIONS = 64, STUB = 16, MOST_IMAGE = 1 << 26 };

/* What the compiler may call where the CPU has no instruction for it. */
typedef void (*function)(void);

static const struct {
    const char *name;
    function address;
} externals[] = {
    {"fmaf", (function)fmaf},     {"fma", (function)fma},       {"fmodf", (function)fmodf},
    {"fmod", (function)fmod},     {"floorf", (function)floorf}, {"floor", (function)floor},
    {"ceilf", (function)ceilf},   {"ceil", (function)ceil},     {"rintf", (function)rintf},
    {"rint", (function)rint},     {"sqrtf", (function)sqrtf},   {"sqrt", (function)sqrt},
    {"memset", (function)memset}, {"memcpy", (function)memcpy}};
enum { EXTERNALS = sizeof externals / sizeof *externals };

typedef struct loading {
    const unsigned char *object;
    size_t bytes;
    Elf64_Ehdr head;
    Elf64_Shdr section[MOST_SECTIONS];
    size_t at[MOST_SECTIONS]; /* of each section in the image */
    bool in[MOST_SECTIONS];   /* it is there */
    const Elf64_Shdr *symbols, *names;
    unsigned char *image;
    size_t image_bytes, stubs;
} loading;

static bool inside(const loading *l, uint64_t offset, uint64_t size) {
    return offset <= l->bytes && size <= l->bytes - offset;
}

static bool read_head(loading *l) {
    if (!inside(l, 0, sizeof l->head)) return false;
    memcpy(&l->head, l->object, sizeof l->head);
    const Elf64_Ehdr *h = &l->head;
    return !memcmp(h->e_ident, ELFMAG, SELFMAG) && h->e_ident[EI_CLASS] == ELFCLASS64 &&
           h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_machine == EM_X86_64 && h->e_type == ET_REL &&
           h->e_shentsize == sizeof(Elf64_Shdr) && h->e_shnum <= MOST_SECTIONS &&
           inside(l, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr));
}

static bool read_sections(loading *l) {
    memcpy(l->section, l->object + l->head.e_shoff, l->head.e_shnum * sizeof *l->section);
    for (int i = 0; i < l->head.e_shnum; i++) {
        const Elf64_Shdr *s = &l->section[i];
        if (s->sh_type != SHT_NOBITS && !inside(l, s->sh_offset, s->sh_size)) return false;
        if (s->sh_type != SHT_SYMTAB) continue;
        if (l->symbols || s->sh_entsize != sizeof(Elf64_Sym) || s->sh_link >= l->head.e_shnum)
            return false;
        l->symbols = s;
        l->names = &l->section[s->sh_link];
    }
    return l->symbols && l->names->sh_type == SHT_STRTAB && l->names->sh_size &&
           !l->object[l->names->sh_offset + l->names->sh_size - 1];
}

/* Places of what a kernel needs at run time; then one stub for each external. */
static bool lay_out(loading *l) {
    size_t end = 0;
    for (int i = 0; i < l->head.e_shnum; i++) {
        const Elf64_Shdr *s = &l->section[i];
        if (s->sh_type != SHT_PROGBITS || !(s->sh_flags & SHF_ALLOC)) continue;
        if (s->sh_flags & SHF_WRITE) return false; /* kernels have no state */
        uint64_t align = s->sh_addralign ? s->sh_addralign : 1;
        if (align > 4096 || (align & (align - 1)) || s->sh_size > MOST_IMAGE) return false;
        end = (end + align - 1) & ~(size_t)(align - 1);
        l->at[i] = end;
        l->in[i] = true;
        end += s->sh_size;
        if (end > MOST_IMAGE) return false;
    }
    l->stubs = (end + STUB - 1) & ~(size_t)(STUB - 1);
    l->image_bytes = l->stubs + EXTERNALS * STUB;
    return true;
}

/* jmp *0(%rip), and the address behind it */
static void write_stub(unsigned char *at, function address) {
    static const unsigned char jump[6] = {0xff, 0x25, 0, 0, 0, 0};
    memcpy(at, jump, sizeof jump);
    memcpy(at + sizeof jump, &address, sizeof address);
}

static bool fill(loading *l) {
    void *image =
        mmap(NULL, l->image_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (image == MAP_FAILED) return false;
    l->image = image;
    for (int i = 0; i < l->head.e_shnum; i++)
        if (l->in[i])
            memcpy(l->image + l->at[i], l->object + l->section[i].sh_offset, l->section[i].sh_size);
    for (size_t i = 0; i < EXTERNALS; i++)
        write_stub(l->image + l->stubs + i * STUB, externals[i].address);
    return true;
}

static bool read_symbol(const loading *l, uint64_t index, Elf64_Sym *out) {
    if (index >= l->symbols->sh_size / sizeof *out) return false;
    memcpy(out, l->object + l->symbols->sh_offset + index * sizeof *out, sizeof *out);
    return true;
}

static const char *name_of(const loading *l, const Elf64_Sym *symbol) {
    if (symbol->st_name >= l->names->sh_size) return "";
    return (const char *)l->object + l->names->sh_offset + symbol->st_name;
}

/* The symbol's place in the image; false where it has none. */
static bool find_symbol(const loading *l, const Elf64_Sym *symbol, size_t *at) {
    if (symbol->st_shndx == SHN_UNDEF) {
        for (size_t i = 0; i < EXTERNALS; i++)
            if (!strcmp(name_of(l, symbol), externals[i].name)) {
                *at = l->stubs + i * STUB;
                return true;
            }
        return false;
    }
    if (symbol->st_shndx >= l->head.e_shnum || !l->in[symbol->st_shndx]) return false;
    if (symbol->st_value > l->section[symbol->st_shndx].sh_size) return false;
    *at = l->at[symbol->st_shndx] + symbol->st_value;
    return true;
}

static bool relocate_one(loading *l, size_t target, const Elf64_Rela *it) {
    Elf64_Sym symbol;
    size_t at;
    uint64_t size = l->section[target].sh_size;
    uint32_t type = (uint32_t)ELF64_R_TYPE(it->r_info);
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32) return false;
    if (it->r_offset > size || size - it->r_offset < 4) return false;
    if (!read_symbol(l, ELF64_R_SYM(it->r_info), &symbol) || !find_symbol(l, &symbol, &at))
        return false;
    size_t place = l->at[target] + it->r_offset;
    if (it->r_addend > MOST_IMAGE || it->r_addend < -MOST_IMAGE) return false;
    int32_t value = (int32_t)((int64_t)at + it->r_addend - (int64_t)place);
    memcpy(l->image + place, &value, sizeof value);
    return true;
}

static bool relocate(loading *l) {
    for (int i = 0; i < l->head.e_shnum; i++) {
        const Elf64_Shdr *s = &l->section[i];
        if (s->sh_type == SHT_REL) return false;
        if (s->sh_type != SHT_RELA) continue;
        if (s->sh_info >= l->head.e_shnum || s->sh_entsize != sizeof(Elf64_Rela)) return false;
        for (uint64_t k = 0; l->in[s->sh_info] && k < s->sh_size / sizeof(Elf64_Rela); k++) {
            Elf64_Rela it;
            memcpy(&it, l->object + s->sh_offset + k * sizeof it, sizeof it);
            if (!relocate_one(l, s->sh_info, &it)) return false;
        }
    }
    return true;
}

static void *find_kernel(const loading *l) {
    for (uint64_t i = 0; i < l->symbols->sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym symbol;
        size_t at;
        if (!read_symbol(l, i, &symbol) || strcmp(name_of(l, &symbol), "kernel") != 0) continue;
        bool function = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
                        symbol.st_shndx < l->head.e_shnum &&
                        (l->section[symbol.st_shndx].sh_flags & SHF_EXECINSTR);
        if (function && find_symbol(l, &symbol, &at)) return l->image + at;
    }
    return NULL;
}

bool object_code_load(const void *object, size_t bytes, object_code *out) {
    loading l = {.object = object, .bytes = bytes};
    *out = (object_code){0};
    if (!read_head(&l) || !read_sections(&l) || !lay_out(&l) || !fill(&l)) return false;
    void *kernel = relocate(&l) ? find_kernel(&l) : NULL;
    *out = (object_code){l.image, l.image_bytes, kernel};
    if (kernel && !mprotect(l.image, l.image_bytes, PROT_READ | PROT_EXEC)) return true;
    object_code_free(out);
    return false;
}

void object_code_free(object_code *code) {
    if (code->image) munmap(code->image, code->bytes);
    *code = (object_code){0};
}
