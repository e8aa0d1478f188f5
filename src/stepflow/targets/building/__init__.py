"""Images made of the rendered source, for every target that runs containers.

Where to look, each module knowing only those of earlier lines:

- where things are kept that can be had again: `cache`; programs that prepare an image on the host: `program`;
- the base: `pull` has it on the engine, `interpreter` asks it for its Python;
- what is installed: `lock` reads, `resolution` finds or makes the locks, the `wheelhouse` fetches what they name;
- what the engine gets: the `context`, with the default `Dockerfile`; what it says while it builds: `output`;
- into a registry, and the digest that it has there: `push`;
- the whole of it, only where there is no image of that content: `image`.
"""
