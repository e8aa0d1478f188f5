BEGIN TRANSACTION;
CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (id), step INTEGER NOT NULL, title TEXT NOT NULL,
        playbook TEXT NOT NULL, started REAL NOT NULL, ended REAL, phase TEXT NOT NULL DEFAULT '', outcome TEXT,
        fingerprint TEXT NOT NULL, components_json TEXT NOT NULL, files_json TEXT NOT NULL,
        workloads_json TEXT NOT NULL, handoff_json TEXT, written_json TEXT, error_json TEXT,
        reasons_json TEXT NOT NULL DEFAULT '[]', log TEXT NOT NULL DEFAULT '');
INSERT INTO "attempts" VALUES(1,1,1,'Version','shell',1.79607623387675380708e+09,1.7960762338965814114e+09,'hand off','done','b505c5d05d73ae1a6bfa45aeb16a100f','{"command":"aea2b955a022cf33014f967b16edcab2","field:creates":"[]","field:retries":"0","field:timeout":"null","playbook":"shell 1","target":"local"}','{}','[]','{"credentials":[],"delivers":"","values":{"image.tag":"a","version":"1.2"}}','{"image.tag":"a","version":"1.2"}',NULL,'["first run"]','{here}/.stepflow/release/logs/01-version-run1.log');
INSERT INTO "attempts" VALUES(2,1,2,'Notes','shell',1.79607623387829303746e+09,1.79607623389838314052e+09,'hand off','done','7d913e5eeef5219e5a6dd1c3226295a0','{"command":"1b22f07f1f1aa8b5d4b771f5954fb0fd","field:creates":"[\"notes.txt\"]","field:retries":"1","field:timeout":"60.0","playbook":"shell 1","target":"local"}','{}','[]','{"credentials":[],"delivers":"","values":{}}',NULL,NULL,'["first run"]','{here}/.stepflow/release/logs/02-notes-run1.log');
INSERT INTO "attempts" VALUES(3,1,3,'','shell',1.79607623389936399459e+09,1.79607623391386675838e+09,'hand off','done','cea905ee9963c0c1c1282c2b567c74d1','{"command":"3cbbd70e1743a56373d5c4f7b7b478f7","field:creates":"[]","field:retries":"0","field:timeout":"null","handoff:shell-1.credentials":"[]","handoff:shell-1.values.image.tag":"\"a\"","handoff:shell-1.values.version":"\"1.2\"","handoff:shell-2.credentials":"[]","playbook":"shell 1","target":"local"}','{}','[]','{"credentials":[],"delivers":"","values":{"size":3}}','{"size":3}',NULL,'["first run"]','{here}/.stepflow/release/logs/03-step-run1.log');
INSERT INTO "attempts" VALUES(4,1,4,'','shell',1.79607623391502618792e+09,1.79607623393092584616e+09,'deploy','failed','2bd801ad36962fc0ffe9d5517559374c','{"command":"d88135520da0a83f88fc024d26ef16cb","field:creates":"[]","field:retries":"0","field:timeout":"null","handoff:shell.credentials":"[]","handoff:shell.values.size":"3","playbook":"shell 1","target":"local"}','{}','[]',NULL,NULL,'{"details":[],"message":"`echo publish >> effects; test -f approved` ended with exit code 1","type":"TemporaryError"}','["first run"]','{here}/.stepflow/release/logs/04-step-run1.log');
CREATE TABLE runs (
        id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, status TEXT, pid INTEGER NOT NULL,
        document TEXT NOT NULL, target TEXT NOT NULL, out TEXT NOT NULL, outcomes_json TEXT NOT NULL DEFAULT '[]',
        steps_json TEXT NOT NULL DEFAULT '{}', options_json TEXT NOT NULL DEFAULT '{}');
INSERT INTO "runs" VALUES(1,1.79607623387562513354e+09,1.79607623393150162699e+09,'failed',7605,'workflow.md','local','{here}/release','[]','{"1":"done","2":"done","3":"done","4":"failed","5":"skipped"}','{}');
CREATE INDEX attempts_by_step ON attempts (step, id);
CREATE INDEX attempts_by_run ON attempts (run, id);
COMMIT;
PRAGMA user_version = 2;
