// pgjdbc looking around in a database, and working on what an ordinary policy permits.
//
//   java -cp postgresql.jar LookAround.java
//
// Where to connect is in the environment, as for libpq. Prints lines of text, which must be the same past the gateway and through it.

import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class LookAround {
    interface Look {
        ResultSet at(DatabaseMetaData data) throws SQLException;
    }

    static Connection connect(String... options) throws SQLException {
        Properties with = new Properties();
        with.setProperty("user", System.getenv("PGUSER"));
        with.setProperty("password", System.getenv("PGPASSWORD"));
        for (String name : new String[] {"sslmode", "sslrootcert"}) {
            String value = System.getenv("PG" + name.toUpperCase());
            if (value != null) with.setProperty(name, value);
        }
        for (int i = 0; i < options.length; i += 2) with.setProperty(options[i], options[i + 1]);
        String where = System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        return DriverManager.getConnection("jdbc:postgresql://" + where, with);
    }

    static void show(ResultSet rows) throws SQLException {
        ResultSetMetaData shape = rows.getMetaData();
        StringBuilder head = new StringBuilder();
        for (int i = 1; i <= shape.getColumnCount(); i++) {
            head.append(shape.getColumnLabel(i)).append(':').append(shape.getColumnTypeName(i)).append(' ');
        }
        System.out.println(head);
        while (rows.next()) {
            StringBuilder line = new StringBuilder("  ");
            for (int i = 1; i <= shape.getColumnCount(); i++) line.append(rows.getString(i)).append(" | ");
            System.out.println(line);
        }
        rows.close();
    }

    static void look(String name, DatabaseMetaData data, Look look) throws SQLException {
        System.out.println("== " + name);
        show(look.at(data));
    }

    static void metaData() throws SQLException {
        try (Connection connection = connect()) {
            DatabaseMetaData data = connection.getMetaData();
            System.out.println(data.getDatabaseProductVersion() + " " + data.getMaxColumnNameLength() + " " + data.getDefaultTransactionIsolation());
            System.out.println(data.getSQLKeywords() + " " + data.getStringFunctions());
            look("schemas", data, d -> d.getSchemas());
            look("catalogs", data, d -> d.getCatalogs());
            look("table types", data, d -> d.getTableTypes());
            look("types", data, d -> d.getTypeInfo());
            for (String schema : new String[] {"public", "sales"}) {
                look("tables", data, d -> d.getTables(null, schema, "%", null));
                look("some tables", data, d -> d.getTables(null, schema, "c%", new String[] {"TABLE", "VIEW"}));
                look("columns", data, d -> d.getColumns(null, schema, "%", "%"));
                look("procedures", data, d -> d.getProcedures(null, schema, "%"));
                look("procedure columns", data, d -> d.getProcedureColumns(null, schema, "%", "%"));
                look("functions", data, d -> d.getFunctions(null, schema, "%"));
                look("function columns", data, d -> d.getFunctionColumns(null, schema, "%", "%"));
                look("user-defined types", data, d -> d.getUDTs(null, schema, "%", null));
                look("table privileges", data, d -> d.getTablePrivileges(null, schema, "%"));
            }
            String[][] tables = {{"public", "customers"}, {"public", "orders"}, {"public", "order_items"}, {"sales", "clerks"}, {"sales", "visits"}};
            for (String[] table : tables) {
                look(table[1] + " primary key", data, d -> d.getPrimaryKeys(null, table[0], table[1]));
                look(table[1] + " imported keys", data, d -> d.getImportedKeys(null, table[0], table[1]));
                look(table[1] + " exported keys", data, d -> d.getExportedKeys(null, table[0], table[1]));
                look(table[1] + " indexes", data, d -> d.getIndexInfo(null, table[0], table[1], false, true));
                look(table[1] + " best row identifier", data, d -> d.getBestRowIdentifier(null, table[0], table[1], DatabaseMetaData.bestRowSession, true));
                look(table[1] + " column privileges", data, d -> d.getColumnPrivileges(null, table[0], table[1], "%"));
            }
            look("cross reference", data, d -> d.getCrossReference(null, "public", "customers", null, "public", "orders"));
        }
    }

    // Statements that the server prepares after some uses, in text and then in binary.
    static void statements(String... options) throws Exception {
        System.out.println("== statements " + String.join(" ", options));
        try (Connection connection = connect(options)) {
            String sql = "SELECT o.id, o.placed_at, o.status, i.quantity * p.price AS total FROM orders o JOIN order_items i ON i.order_id = o.id "
                + "JOIN products p ON p.id = i.product_id WHERE o.customer_id = ? ORDER BY o.id, p.id";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int customer = 1; customer <= 8; customer++) {
                    statement.setInt(1, customer);
                    show(statement.executeQuery());
                }
                ResultSetMetaData shape = statement.getMetaData();
                for (int i = 1; i <= shape.getColumnCount(); i++) {
                    System.out.println(shape.getColumnName(i) + " " + shape.isNullable(i) + " " + shape.isAutoIncrement(i) + " " + shape.getTableName(i) + " " + shape.getPrecision(i));
                }
                System.out.println(statement.getParameterMetaData().getParameterTypeName(1));
            }
            try (PreparedStatement statement = connection.prepareStatement("SELECT id, mood, home, shift, tags, data FROM sales.clerks WHERE id = ANY (?) ORDER BY id")) {
                for (int i = 0; i < 7; i++) {
                    statement.setArray(1, connection.createArrayOf("int4", new Integer[] {1, i + 2}));
                    show(statement.executeQuery());
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(3);
                show(statement.executeQuery("SELECT id, city FROM customers ORDER BY id LIMIT 10"));
                statement.setFetchSize(0);
                try {
                    statement.execute("SELECT 1 / 0");
                } catch (SQLException error) {
                    System.out.println(error.getSQLState());
                }
                try {
                    show(statement.executeQuery("SELECT 'after an error'"));
                } catch (SQLException error) {
                    System.out.println(error.getSQLState());
                }
            }
            connection.rollback();
            String insert = "INSERT INTO tickets (customer_id, subject, body) VALUES (?, ?, ?)";
            try (PreparedStatement statement = connection.prepareStatement(insert, new String[] {"subject", "status"})) {
                for (int i = 0; i < 8; i++) {
                    statement.setInt(1, 1);
                    statement.setString(2, "s" + i);
                    statement.setString(3, "from jdbc");
                    statement.addBatch();
                }
                System.out.println(statement.executeBatch().length);
                show(statement.getGeneratedKeys());
            }
            var point = connection.setSavepoint();
            try (Statement statement = connection.createStatement()) {
                System.out.println(statement.executeUpdate("UPDATE tickets SET status = 'closed' WHERE body = 'from jdbc'"));
            }
            connection.rollback(point);
            connection.rollback();
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            StringWriter out = new StringWriter();
            System.out.println(copy.copyOut("COPY products TO STDOUT", out) + out.toString());
            connection.rollback();
            connection.setReadOnly(true);
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            connection.setSchema("sales");
            System.out.println(connection.getSchema() + " " + connection.isValid(5));
            show(connection.createStatement().executeQuery("SELECT count(*) FROM clerks"));
            connection.rollback();
        }
    }

    public static void main(String[] arguments) throws Exception {
        metaData();
        statements();
        statements("prepareThreshold", "1", "autosave", "always", "reWriteBatchedInserts", "true");
        statements("prepareThreshold", "-1", "autosave", "conservative");
        statements("preferQueryMode", "simple");
        statements("preferQueryMode", "extendedForPrepared", "autosave", "always");
    }
}
