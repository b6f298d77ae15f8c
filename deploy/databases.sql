-- What a new PostgreSQL needs, as its owner: Tiled's catalog, Tiled's tables, Prefect's state.
CREATE DATABASE gbx_tiled;
CREATE DATABASE gbx_tables;
CREATE DATABASE gbx_prefect;
